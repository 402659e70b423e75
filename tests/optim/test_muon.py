"""Muon and AdamW as one optimizer, against torch's own two."""

import copy
import io
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import AdamW, Muon
from torch.optim.lr_scheduler import LambdaLR

from clozekit.config.encoder import EncoderConfig
from clozekit.models import EncoderWithHeads
from clozekit.optim.groups import Groups, parameter_groups, with_hidden_matrices
from clozekit.optim.muon import MuonWithAdamW
from tests.models.models import pretraining_model

SIZES = {"vocab_size": 50, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}


def make_model(**more: Any) -> EncoderWithHeads:
    torch.manual_seed(0)
    return pretraining_model(EncoderConfig(**SIZES, intermediate_size=48, **more))


def groups_of(model: EncoderWithHeads) -> Groups:
    return with_hidden_matrices(parameter_groups(model, 0.01), model.encoder)


def make_optimizer(model: EncoderWithHeads) -> MuonWithAdamW:
    return MuonWithAdamW(groups_of(model), lr=1e-2, fused=True)


def set_gradients(model: nn.Module, seed: int) -> None:
    torch.manual_seed(seed)
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)


def weights(model: nn.Module) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in model.parameters()]


def assert_equal(first: list[torch.Tensor], second: list[torch.Tensor]) -> None:
    assert all(map(torch.equal, first, second))


@pytest.mark.parametrize("gated", [False, True])
def test_matrices_of_blocks_are_muons_and_all_else_is_adamws(gated: bool) -> None:
    model = make_model(gated_feed_forward=gated)
    names = {parameter: name for name, parameter in model.named_parameters()}
    groups = groups_of(model)
    found = {names[p]: group.get("num_matrices", 0) for group in groups for p in group["params"]}
    assert sum(len(group["params"]) for group in groups) == len(found) == len(names)
    of_a_block = {
        "attention.qkv.weight": 3,
        "attention.output.weight": 1,
        "feed_forward.intermediate.weight": 2 if gated else 1,
        "feed_forward.output.weight": 1,
    }
    expected = {
        f"encoder.blocks.{block}.{name}": number
        for block in (0, 1)
        for name, number in of_a_block.items()
    }
    assert {name: number for name, number in found.items() if number} == expected
    assert all(group["use_muon"] == ("num_matrices" in group) for group in groups)
    decays = {
        name: group["weight_decay"] for group in groups for name in map(names.get, group["params"])
    }
    assert {decays[name] for name in expected} == {0.01}
    assert decays["encoder.embeddings.token_embeddings.weight"] == 0.01
    assert decays["encoder.blocks.0.attention_norm.weight"] == 0.0


def test_an_embedding_or_a_bare_matrix_in_a_block_is_adamws() -> None:
    model = make_model()
    block: Any = model.encoder.blocks[0]
    block.relative = nn.Embedding(4, 2)
    block.gate = nn.Parameter(torch.ones(4, 4))
    (muons,) = ({id(p) for g in groups_of(model) if g["use_muon"] for p in g["params"]},)
    assert id(block.relative.weight) not in muons and id(block.gate) not in muons
    make_optimizer(model)


def test_a_step_is_torchs_with_query_key_and_value_apart() -> None:
    model, expected = make_model(), make_model()
    optimizer = make_optimizer(model)
    matrices, others, parts = [], [], []
    muons = {name for name, p in model.named_parameters() if ".blocks." in name and p.ndim == 2}
    for name, parameter in expected.named_parameters():
        if name.endswith("qkv.weight"):
            apart = [nn.Parameter(part.clone()) for part in parameter.detach().chunk(3)]
            parts.append((parameter, apart))
            matrices += apart
        else:
            (matrices if name in muons else others).append(parameter)
    options = {"lr": 1e-2, "adjust_lr_fn": "match_rms_adamw", "weight_decay": 0.01}
    muon = Muon(matrices, **options)  # type: ignore[arg-type]
    decaying = [p for p in others if p.ndim == 2]
    adamw = AdamW(
        [
            {"params": decaying, "weight_decay": 0.01},
            {"params": [p for p in others if p.ndim < 2], "weight_decay": 0.0},
        ],
        lr=1e-2,
        eps=1e-6,
        fused=True,
    )
    for step in range(3):
        set_gradients(model, step)
        set_gradients(expected, step)
        for parameter, apart in parts:
            assert parameter.grad is not None
            for part, gradient in zip(apart, parameter.grad.chunk(3), strict=True):
                part.grad = gradient.clone()
        for each in (optimizer, muon, adamw):
            each.step()
        with torch.no_grad():
            for parameter, apart in parts:
                parameter.copy_(torch.cat(apart))
    assert_equal(weights(model), weights(expected))


def test_an_update_has_the_size_of_adamws() -> None:
    """So that one rate fits both: 0.2 is about the root mean square of AdamW's updates."""
    model = make_model()
    before = dict(zip(map(id, model.parameters()), weights(model), strict=True))
    set_gradients(model, 0)
    optimizer = MuonWithAdamW(groups_of(model), lr=1.0)
    for group in optimizer.param_groups:
        group["weight_decay"] = 0.0
    optimizer.step()
    for group in optimizer.param_groups:
        for parameter in group["params"] if group["use_muon"] else ():
            update = parameter.detach() - before[id(parameter)]
            size = update.square().mean().sqrt()
            assert 0.12 < size < 0.25, "a stack of three would have 0.35, without a rule 0.18·√32"


def test_state_is_restored_exactly() -> None:
    model = make_model()
    optimizer = make_optimizer(model)
    for step in range(2):
        set_gradients(model, step)
        optimizer.step()
    file = io.BytesIO()
    torch.save({"weights": model.state_dict(), "optimizer": optimizer.state_dict()}, file)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    other = make_model()
    other.load_state_dict(saved["weights"])
    restored = MuonWithAdamW(groups_of(other), lr=5.0, momentum=0.5)
    restored.load_state_dict(saved["optimizer"])
    for step in range(2, 4):
        for each, its in ((model, optimizer), (other, restored)):
            set_gradients(each, step)
            its.step()
    assert_equal(weights(model), weights(other))
    first, second = optimizer.state_dict(), restored.state_dict()
    assert first["param_groups"] == second["param_groups"]
    kinds = {tuple(state) for state in first["state"].values()}
    assert kinds == {("momentum_buffer",), ("step", "exp_avg", "exp_avg_sq")}
    for number, state in first["state"].items():
        assert_equal(list(state.values()), list(second["state"][number].values()))


def test_a_schedule_sets_the_rate_of_both() -> None:
    model = make_model()
    optimizer = make_optimizer(model)
    schedule = LambdaLR(optimizer, lambda step: 1.0 if step == 0 else 0.0)
    set_gradients(model, 0)
    optimizer.step()
    schedule.step()
    before = weights(model)
    set_gradients(model, 1)
    optimizer.step()
    assert_equal(before, weights(model))


def test_a_copy_is_independent_and_a_frozen_encoder_leaves_adamw_alone() -> None:
    model = make_model()
    optimizer = make_optimizer(model)
    set_gradients(model, 0)
    optimizer.step()
    copied = copy.deepcopy(optimizer)
    before = weights(model)
    for group in copied.param_groups:
        for parameter in group["params"]:
            parameter.grad = torch.ones_like(parameter)
    copied.step()
    assert_equal(before, weights(model))
    model.encoder.requires_grad_(False)
    head_only = make_optimizer(model)
    set_gradients(model, 1)
    head_only.step()
    assert not any(group["use_muon"] for group in head_only.param_groups)


def test_gradients_are_unscaled_before_the_step() -> None:
    """A fused AdamW could do it in its step, but Muon cannot."""
    assert not getattr(make_optimizer(make_model()), "_step_supports_amp_scaling", False)


def test_a_group_that_is_added_has_the_options_of_its_kind() -> None:
    optimizer = make_optimizer(make_model())
    weight = nn.Parameter(torch.ones(2, 2))
    optimizer.add_param_group({"params": [weight], "weight_decay": 0.0})
    weight.grad = torch.ones_like(weight)
    optimizer.step()
    assert optimizer.param_groups[-1]["eps"] == 1e-6
    assert weight.detach().mean() == pytest.approx(0.99, abs=1e-4)
