"""Which parameters decay."""

import pytest
import torch
from torch import nn

from clozekit.config.encoder import EncoderConfig
from clozekit.models.pretraining import PretrainingModel
from clozekit.optim.groups import parameter_groups


@pytest.fixture(scope="module")
def model() -> PretrainingModel:
    return PretrainingModel(
        EncoderConfig(
            vocab_size=50,
            hidden_size=32,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=48,
        )
    )


def names(model: nn.Module, group: dict[str, list[nn.Parameter]]) -> set[str]:
    by_identity = {id(parameter): name for name, parameter in model.named_parameters()}
    return {by_identity[id(parameter)] for parameter in group["params"]}


def test_biases_and_norms_do_not_decay(model: PretrainingModel) -> None:
    decaying, rest = parameter_groups(model, 0.01)
    assert (decaying["weight_decay"], rest["weight_decay"]) == (0.01, 0.0)
    norms = {
        f"{name}.weight"
        for name, module in model.named_modules()
        if isinstance(module, nn.LayerNorm)
    }
    assert len(norms) == 4
    biases = {name for name, _ in model.named_parameters() if name.endswith("bias")}
    assert names(model, rest) == norms | biases
    assert names(model, decaying) == {n for n, _ in model.named_parameters()} - norms - biases


def test_every_parameter_stands_once_the_tied_one_too(model: PretrainingModel) -> None:
    parameters = [p for group in parameter_groups(model, 0.01) for p in group["params"]]
    assert len({id(p) for p in parameters}) == len(parameters) == len(list(model.parameters()))
    shape = model.encoder.embeddings.token_embeddings.weight.shape
    assert sum(p.shape == shape for p in parameters) == 1


def test_frozen_parameters_are_left_out_and_so_is_an_empty_group() -> None:
    layer = nn.Linear(2, 3)
    layer.bias.requires_grad_(False)
    (group,) = parameter_groups(layer, 0.1)
    assert group["params"] == [layer.weight]
    torch.optim.AdamW([group])
