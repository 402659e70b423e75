import math
from collections.abc import Callable

import pytest
import torch
from torch import nn

from clozekit.config.encoder import EncoderConfig
from clozekit.interop.head_names import make_model
from clozekit.models import init_weights
from clozekit.models.heads import SequenceClassificationHead, TokenClassificationHead
from tests.models.batches import without_dropout

STD = 0.05
# The standard deviation of a unit normal cut at two of its own: 1 - 4 φ(2) / (2 Φ(2) - 1), rooted.
CUT = math.sqrt(1 - 4 * math.exp(-2) / math.sqrt(2 * math.pi) / math.erf(math.sqrt(2)))


@pytest.mark.parametrize(
    "heads", [["masked_lm_head", "next_sentence_head"], ["classification_head"]]
)
def test_every_parameter_of_a_model(heads: list[str]) -> None:
    torch.manual_seed(0)
    config = without_dropout(vocab_size=3000, hidden_size=64, initializer_range=STD)
    model = make_model(heads, config, num_labels=3)
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            assert not parameter.any(), name
        elif "norm" in name:
            assert (parameter == 1).all(), name
        elif "classification_head" in name:
            assert parameter.std().item() == pytest.approx(STD, rel=0.3), name
        else:
            assert parameter.abs().max() <= 2 * STD, name
            # Four standard errors; the kurtosis of the cut normal is below 3.
            error = 4 / math.sqrt(2 * parameter.numel())
            assert parameter.std().item() == pytest.approx(CUT * STD, rel=error), name
            assert abs(parameter.mean().item()) < 4 * STD / math.sqrt(parameter.numel()), name


def test_the_cut_is_a_redraw_and_no_clamp() -> None:
    layer = nn.Linear(500, 500)
    init_weights(layer, STD)
    at_the_limit = layer.weight.abs() > 2 * STD * 0.9999
    assert at_the_limit.float().mean() < 0.001


@pytest.mark.parametrize(
    "head",
    [
        lambda config: SequenceClassificationHead(config, 500, 0.0),
        lambda config: TokenClassificationHead(config, 500, 0.0),
    ],
)
def test_a_tasks_last_layer_is_drawn_from_the_whole_normal_distribution(
    head: Callable[[EncoderConfig], nn.Module],
) -> None:
    torch.manual_seed(0)
    [(_, weight), (_, bias)] = head(
        without_dropout(hidden_size=200, initializer_range=STD)
    ).named_parameters()
    assert weight.std().item() == pytest.approx(STD, rel=4 / math.sqrt(2 * weight.numel()))
    # A normal's share beyond two deviations.
    assert (weight.abs() > 2 * STD).float().mean().item() == pytest.approx(0.0455, rel=0.1)
    assert not bias.any()


def test_layers_without_a_bias() -> None:
    linear, norm = nn.Linear(4, 4, bias=False), nn.LayerNorm(4, bias=False)
    init_weights(nn.Sequential(linear, norm), STD)
    assert linear.weight.abs().max() <= 2 * STD
    assert (norm.weight == 1).all()
