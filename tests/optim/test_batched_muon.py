"""Muon's step on a GPU: that of torch's Muon, but for rounding in bfloat16."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from clozekit.optim import batched_muon
from clozekit.optim.muon import StackedMuon

SHAPES = ((96, 32), (32, 32), (32, 80), (96, 32), (32, 80), (16, 24))


def weights_and_gradients(seed: int) -> tuple[list[nn.Parameter], list[list[Tensor]]]:
    """Matrices and the gradients of three steps; one matrix has none."""
    generator = torch.Generator().manual_seed(seed)
    weights = [nn.Parameter(torch.randn(shape, generator=generator)) for shape in SHAPES]
    steps = [[torch.randn(shape, generator=generator) for shape in SHAPES[:-1]] for _ in range(3)]
    return weights, steps


def groups(weights: list[nn.Parameter]) -> list[dict[str, Any]]:
    """The first and fourth weights are stacks of three matrices."""
    stacked = [weight for weight in weights if weight.shape == (96, 32)]
    others = [weight for weight in weights if weight.shape != (96, 32)]
    return [
        {"params": stacked, "num_matrices": 3, "weight_decay": 0.1},
        {"params": others, "lr": 0.01},
    ]


def trained(
    batched: bool, device: torch.device, **options: Any
) -> tuple[list[Tensor], list[Tensor]]:
    """The weights and the running averages after three steps."""
    weights, steps = weights_and_gradients(0)
    on_device = [nn.Parameter(weight.detach().to(device)) for weight in weights]
    optimizer = StackedMuon(groups(on_device), lr=0.02, weight_decay=0.0, **options)
    for grads in steps:
        for weight, grad in zip(on_device, grads, strict=False):
            weight.grad = grad.to(device)
        if batched and device.type == "cpu":
            for group in optimizer.param_groups:
                optimizer.step_batched(group)
        else:
            optimizer.step()
    averages = [state["momentum_buffer"].cpu() for state in optimizer.state.values()]
    return [weight.detach().cpu() for weight in on_device], averages


OPTIONS = pytest.mark.parametrize(
    "options",
    [
        {"adjust_lr_fn": "match_rms_adamw"},
        {"adjust_lr_fn": "original", "nesterov": False},
        {"adjust_lr_fn": None, "momentum": 0.5, "ns_steps": 3},
    ],
    ids=str,
)
DEVICES = pytest.mark.parametrize(
    "device",
    [
        "cpu",
        pytest.param(
            "cuda",
            marks=[
                pytest.mark.gpu,
                pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
            ],
        ),
    ],
)


@DEVICES
@OPTIONS
def test_steps_are_those_of_torchs_muon(device: str, options: dict[str, Any]) -> None:
    expected, averages = trained(False, torch.device("cpu"), **options)
    found, found_averages = trained(True, torch.device(device), **options)
    before, _ = weights_and_gradients(0)
    for ours, theirs, first in zip(found, expected, before, strict=True):
        moved = (theirs - first).norm()
        # bfloat16 has 8 bits, and the products round in another order.
        assert (ours - theirs).norm() <= 0.03 * moved
    for ours, theirs in zip(found_averages, averages, strict=True):
        torch.testing.assert_close(ours, theirs)
    assert torch.equal(found[-1], before[-1])  # no gradient, no step


def test_the_number_of_matrices_multiplied_together_changes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cpu = torch.device("cpu")
    together, _ = trained(True, cpu)
    monkeypatch.setattr(batched_muon, "ELEMENTS_AT_ONCE", 1)
    alone, _ = trained(True, cpu)
    for one, other in zip(together, alone, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=2e-3)
