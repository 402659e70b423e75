"""The loss scale of 16-mixed: clipping and metrics see gradients without it."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.plugins.precision import MixedPrecision
from torch import Tensor

from clozekit.optim.clipping import GradientClipping
from clozekit.runs.checkpoint_file import AtomicCheckpointIO
from tests.tasks.modules import LABELS, module_of
from tests.tasks.training import DrawnRows, trainer_of


class Scaled(MixedPrecision):
    """16-mixed on the CPU, where Lightning has none, with products of float32.

    Args:
        scale: The first loss scale.
    """

    def __init__(self, scale: float) -> None:
        scaler = torch.amp.GradScaler(device="cpu", init_scale=scale)
        super().__init__("16-mixed", "cpu", scaler)

    def autocast_context_manager(self) -> torch.autocast:
        return torch.autocast("cpu", enabled=False)


def trained(
    folder: Path, fused: bool, scale: float | None, **changes: Any
) -> tuple[dict[str, Tensor], Trainer]:
    """The weights after three steps of three micro-batches, and the Trainer."""
    module = module_of(
        "classification",
        log_every_n_steps=1,
        clipping=GradientClipping(0.05),
        optimizer=partial(torch.optim.AdamW, lr=1e-3, fused=fused),
        **changes,
    )
    plugins = [AtomicCheckpointIO()] + ([] if scale is None else [Scaled(scale)])
    trainer = trainer_of(folder, 3, plugins=plugins)
    trainer.fit(module, datamodule=DrawnRows(micro_batch_size=2))
    return dict(module.state_dict()), trainer


@pytest.mark.parametrize("fused", [True, False])
def test_a_loss_scale_changes_nothing_but_rounding(fused: bool, tmp_path: Path) -> None:
    expected, plain = trained(tmp_path, fused, None)
    # A power of two rounds nothing.
    weights, scaled = trained(tmp_path, fused, 1024.0)
    for name, weight in expected.items():
        torch.testing.assert_close(weights[name], weight, rtol=1e-6, atol=1e-9, msg=name)
    norms = [float(t.callback_metrics["train/grad_norm"]) for t in (plain, scaled)]
    assert norms[0] > 0.05 and norms[1] == pytest.approx(norms[0], rel=1e-5)


@pytest.mark.parametrize("fused", [True, False])
def test_a_step_whose_scale_is_too_large_is_skipped(fused: bool, tmp_path: Path) -> None:
    before = dict(module_of("classification").state_dict())
    heavy = dict.fromkeys(LABELS, 1e3)
    weights, trainer = trained(tmp_path, fused, 2.0**127, class_weights=heavy)
    plugin = trainer.precision_plugin
    assert isinstance(plugin, Scaled) and plugin.scaler is not None
    assert plugin.scaler.get_scale() == 2.0**124, "halved at each of the three steps"
    for name, weight in before.items():
        assert torch.equal(weights[name], weight), name
