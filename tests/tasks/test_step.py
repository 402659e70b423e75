"""One optimizer step by Lightning's Trainer: its seeds, its gradient, and how that is clipped."""

from collections.abc import Callable
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor
from torch.optim import Optimizer

from clozekit.optim.clipping import GradientClipping
from tests.harness.running import torchrun_variables
from tests.tasks.modules import Module, module_of
from tests.tasks.training import DrawnRows, trainer_of


class Watcher(Callback):
    """Keeps what can be seen of every micro-batch and of the gradients of every step.

    Args:
        noise: What the global generator is seeded with when a step begins.
        seen: Gives what is seen before a micro-batch's backward.
    """

    def __init__(self, noise: int = 0, seen: Callable[[], Any] = torch.initial_seed) -> None:
        self.noise = noise
        self.seen = seen
        self.of_micro_batches: list[Any] = []
        self.gradients: list[dict[str, Tensor]] = []

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        torch.manual_seed(self.noise)

    def on_before_backward(
        self, trainer: Trainer, pl_module: LightningModule, loss: Tensor
    ) -> None:
        self.of_micro_batches.append(self.seen())

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer
    ) -> None:
        self.gradients.append(
            {
                name: parameter.grad.clone()
                for name, parameter in pl_module.named_parameters()
                if parameter.grad is not None
            }
        )


def fit(
    module: Module,
    folder: Path,
    steps: int,
    watcher: Watcher,
    micro_batch_size: int,
    **options: Any,
) -> Trainer:
    """Trains on batches of 6 rows."""
    trainer = trainer_of(folder, steps, callbacks=[watcher], **options)
    trainer.fit(module, datamodule=DrawnRows(micro_batch_size=micro_batch_size))
    return trainer


def seed_of(seed: int, step: int, micro_step: int, trainer: Trainer) -> int:
    """The seed that torch has when a micro-batch begins."""
    module = module_of("classification", seed=seed)
    module.trainer = trainer
    module._seed_dropout(step, micro_step)
    return torch.initial_seed()


def test_every_seed_step_micro_step_and_rank_has_dropout_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = list(product(range(3), range(4), range(3)))
    seeds = []
    for rank in range(3):
        with monkeypatch.context() as patched:
            for name, value in torchrun_variables(rank, 3, 1).items():
                patched.setenv(name, value)
            # Lightning's Trainer writes the rank there, for good.
            patched.setattr(rank_zero_only, "rank", rank)
            trainer = trainer_of(tmp_path, 1, devices=3, strategy="ddp")
            assert trainer.global_rank == rank
            seeds.append([seed_of(*key, trainer) for key in keys])
            assert [seed_of(*key, trainer) for key in reversed(keys)] == seeds[rank][::-1]
    assert len({seed for of_rank in seeds for seed in of_rank}) == 3 * len(keys)

    # What a run on one process has is what the first of several has.
    watcher = Watcher()
    fit(module_of("classification", seed=1), tmp_path, 4, watcher, micro_batch_size=2)
    assert watcher.of_micro_batches == seeds[0][12:24]


def test_the_same_step_has_the_same_dropout(tmp_path: Path) -> None:
    def mask() -> tuple[float, ...]:
        return tuple(torch.nn.functional.dropout(torch.ones(100), 0.5).tolist())

    runs = []
    for noise in (1, 2):
        watcher = Watcher(noise, mask)
        fit(module_of("classification"), tmp_path, 2, watcher, micro_batch_size=2)
        runs.append(watcher.of_micro_batches)
    assert runs[0] == runs[1]
    assert len(set(runs[0])) == len(runs[0]) == 6


def test_a_step_is_the_same_in_any_number_of_micro_batches(tmp_path: Path) -> None:
    gradients, weights = [], []
    for size in (6, 3, 2):
        module, watcher = module_of("classification"), Watcher()
        fit(module, tmp_path, 2, watcher, micro_batch_size=size, precision="64-true")
        assert len(watcher.of_micro_batches) == 2 * 6 // size
        gradients.append(watcher.gradients)
        weights.append(module.state_dict())
    for ours, theirs in zip(gradients[1:], weights[1:], strict=True):
        for step, expected in zip(ours, gradients[0], strict=True):
            assert step.keys() == expected.keys()
            assert max(float(gradient.abs().max()) for gradient in expected.values()) > 1e-4
            for name, gradient in expected.items():
                assert gradient.dtype == torch.float64
                assert torch.allclose(step[name], gradient, rtol=0, atol=1e-12), name
        for name, weight in weights[0].items():
            assert torch.allclose(theirs[name], weight, rtol=0, atol=1e-9), name


CLIPPINGS = {
    "not at all": GradientClipping(),
    "by norm": GradientClipping(0.05, "norm"),
    "by value": GradientClipping(0.002, "value"),
    "to a norm that is not reached": GradientClipping(1e3, "norm"),
}


@pytest.mark.parametrize("micro_batch_size", [6, 2])
@pytest.mark.parametrize("how", CLIPPINGS)
def test_gradients_are_clipped(how: str, micro_batch_size: int, tmp_path: Path) -> None:
    clipping = CLIPPINGS[how]
    module = module_of(
        "classification",
        clipping=clipping,
        # The weights move by the gradient itself.
        optimizer=partial(torch.optim.SGD, lr=1.0),
        weight_decay=0.0,
        log_every_n_steps=1,
    )
    before = {name: p.detach().double().clone() for name, p in module.named_parameters()}
    watcher = Watcher()
    trainer = fit(module, tmp_path, 1, watcher, micro_batch_size, precision="64-true")
    (gradients,) = watcher.gradients
    norm = float(torch.stack([g.square().sum() for g in gradients.values()]).sum().sqrt())
    largest = max(float(g.abs().max()) for g in gradients.values())
    assert 0.05 < norm < 1e3 and largest > 0.002
    moved = {name: before[name] - p.detach() for name, p in module.named_parameters()}
    for name, gradient in gradients.items():
        expected = gradient
        if how == "by norm":
            expected = gradient * (0.05 / norm)
        elif how == "by value":
            expected = gradient.clamp(-0.002, 0.002)
        assert torch.allclose(moved[name], expected, rtol=1e-4, atol=1e-12), name
    assert float(trainer.callback_metrics["train/grad_norm"]) == pytest.approx(norm, rel=1e-6)


def test_a_precision_changes_no_score_of_a_step(tmp_path: Path) -> None:
    found = []

    class Dtypes(Callback):
        def on_train_batch_start(
            self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
        ) -> None:
            found.extend(part.scores.dtype for part in batch.micro_batches)

    trainer = trainer_of(tmp_path, 1, callbacks=[Dtypes()], precision="bf16-true")
    trainer.fit(module_of("regression"), datamodule=DrawnRows("regression", micro_batch_size=2))
    assert found == [torch.float32] * 3
