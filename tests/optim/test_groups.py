"""Which parameters decay, and at what rate each learns."""

import pytest
import torch
from torch import nn

from clozekit.config.encoder import EncoderConfig
from clozekit.interop.head_names import make_model
from clozekit.models import EncoderWithHeads
from clozekit.optim.groups import parameter_groups, with_layerwise_decay
from clozekit.tasks.classification import ClassificationModule
from tests.models.models import pretraining_model
from tests.tasks.models import small_encoder, training_arguments


@pytest.fixture(scope="module")
def model() -> EncoderWithHeads:
    return pretraining_model(
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


def test_biases_and_norms_do_not_decay(model: EncoderWithHeads) -> None:
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


def test_every_parameter_stands_once_the_tied_one_too(model: EncoderWithHeads) -> None:
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


def test_names_say_what_decays_not_shapes() -> None:
    class OwnNorm(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gain = nn.Parameter(torch.ones(2, 2))

    layer = nn.Linear(2, 3)
    layer.scale = nn.Parameter(torch.ones(3))
    model = nn.ModuleDict({"first": layer, "second": OwnNorm(), "final_norm": nn.Linear(2, 2)})
    decaying, rest = parameter_groups(model, 0.1)
    assert names(model, decaying) == {"first.weight", "first.scale"}
    assert names(model, rest) == {
        *("first.bias", "second.gain", "final_norm.weight", "final_norm.bias")
    }


def encoder_of_three_blocks() -> EncoderWithHeads:
    sizes = {"hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 48}
    config = EncoderConfig(vocab_size=50, num_hidden_layers=3, **sizes)
    return make_model(["classification_head"], config, num_labels=2)


def test_lower_blocks_learn_at_smaller_rates() -> None:
    model = encoder_of_three_blocks()
    groups = with_layerwise_decay(parameter_groups(model, 0.01), model.encoder, 0.5)
    scales = {name: group["lr_scale"] for group in groups for name in names(model, group)}
    expected = {
        "classification_head.": 1,
        "encoder.pooler.": 1,
        "encoder.blocks.2.": 0.5,
        "encoder.blocks.1.": 0.25,
        "encoder.blocks.0.": 0.125,
        "encoder.embeddings.": 0.0625,
    }
    assert scales.keys() == {name for name, _ in model.named_parameters()}
    for name, scale in scales.items():
        (wanted,) = (of for prefix, of in expected.items() if name.startswith(prefix))
        assert scale == wanted, name


def test_layers_keep_every_parameter_once_with_its_weight_decay() -> None:
    model = encoder_of_three_blocks()
    before = parameter_groups(model, 0.01)
    after = with_layerwise_decay(before, model.encoder, 0.9)
    decays = [
        {name: group["weight_decay"] for group in groups for name in names(model, group)}
        for groups in (before, after)
    ]
    assert decays[0] == decays[1]
    assert sum(len(group["params"]) for group in after) == len(list(model.parameters()))
    torch.optim.AdamW(after)


@pytest.mark.parametrize("decay", [1.0, 0.5])
def test_the_optimizer_of_a_task_takes_the_rates_of_the_layers(decay: float) -> None:
    module = ClassificationModule(
        small_encoder(50), label_names=["a", "b"], **training_arguments(layerwise_lr_decay=decay)
    )
    configured = module.configure_optimizers()
    optimizer = configured["optimizer"]  # type: ignore[index,call-overload]
    rates = {name: g["lr"] for g in optimizer.param_groups for name in names(module, g)}
    head, bottom = (
        rates[f"model.{name}"]
        for name in (
            "classification_head.classifier.weight",
            "encoder.blocks.0.feed_forward.output.weight",
        )
    )
    # Two blocks; AdamW's rate is 1e-3.
    assert head == pytest.approx(1e-3)
    assert bottom == pytest.approx(1e-3 * decay**2)
