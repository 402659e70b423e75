"""A step waits for the device once, when the host reads its totals."""

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from clozekit.data.order import Position
from clozekit.data.step import StepBatch
from clozekit.data.stream import BatchShape, Phase, Source, TrainingStream
from clozekit.models.kernels.grouping import Grouping
from clozekit.optim.clipping import GradientClipping
from clozekit.tasks.base import TaskModule
from clozekit.tasks.masked_lm import MaskedLMModule
from clozekit.tasks.pretraining import PretrainingModule
from clozekit.tasks.step_sums import over_processes
from tests.data.labelled.labelled_rows import TASKS
from tests.data.pretraining.shards_of_words import (
    VOCAB_SIZE,
    full_sentences_of,
    source_of,
    write_words,
)
from tests.data.test_transfer import step_of
from tests.tasks.models import small_encoder, training_arguments
from tests.tasks.modules import module_of
from tests.tasks.training import DrawnRows, trainer_of

Step = StepBatch[Any]
WEIGHTED = {"class_weights": {"sea": 2.0}, "label_smoothing": 0.1}


def pretraining(folder: Path) -> tuple[TaskModule[Any], Step]:
    source = source_of([write_words(folder / "a.arrow", 20)], max_seq_length=48)
    return PretrainingModule(small_encoder(VOCAB_SIZE), **training_arguments()), first(source)


def masked_lm(folder: Path) -> tuple[TaskModule[Any], Step]:
    source = full_sentences_of([write_words(folder / "a.arrow", 20)], max_seq_length=48)
    return MaskedLMModule(small_encoder(VOCAB_SIZE), **training_arguments()), first(source)


def fine_tuning(task: str, **changes: Any) -> Callable[[Path], tuple[TaskModule[Any], Step]]:
    return lambda folder: (module_of(task, **changes), step_of(task))


def first(source: Source) -> Step:
    return next(iter(TrainingStream([Phase(source, BatchShape(6, 2))], 0, Position())))


CASES = {
    "pretraining": pretraining,
    "masked_lm": masked_lm,
    **{task: fine_tuning(task) for task in TASKS},
    "weighted classes": fine_tuning("classification", **WEIGHTED),
    "weighted labels": fine_tuning("multi_label", **WEIGHTED),
}


class CopiesFromTheHost(TorchDispatchMode):
    """Lists the operations that copy a tensor from the host, for which the host waits."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        devices = {
            tensor.device.type
            for tensor in tree_leaves((args, kwargs, result))
            # A number on the host is passed to a kernel as an argument.
            if isinstance(tensor, Tensor) and tensor.ndim
        }
        if len(devices) > 1:
            self.found.append(str(func))
        return result


@pytest.mark.parametrize("case", CASES)
def test_a_step_reads_nothing_from_the_device(case: str, tmp_path: Path) -> None:
    """On the device `meta`, whose tensors have no values, so reading one is an error."""
    module, step = CASES[case](tmp_path)
    module.to("meta").train()
    module.log_every_n_steps = 1
    step = step.to("meta")
    # `meta` has no autocast.
    with (
        mock.patch("torch.is_autocast_enabled", return_value=False),
        mock.patch("torch.autocast", return_value=nullcontext()),
    ):
        # The first one moves what is moved once.
        module.micro_loss(step.micro_batches[0], step).backward()
        with CopiesFromTheHost() as copies:
            for batch in step.micro_batches[1:]:
                module.micro_loss(batch, step).backward()
    assert len(step.micro_batches) > 1 and copies.found == []
    assert all(parameter.grad is not None for parameter in module.parameters())
    optimizer = torch.optim.SGD(module.parameters(), lr=1.0)
    for clipping in (GradientClipping(), GradientClipping(1.0), GradientClipping(1.0, "value")):
        assert clipping.clip(optimizer).device.type == "meta"


READS = {
    getattr(Tensor, name)
    for name in (
        *("item", "tolist", "numpy", "cpu", "nonzero", "argwhere", "unique", "bincount"),
        *("__bool__", "__int__", "__float__", "__index__", "equal", "masked_select"),
    )
} | {torch.equal, torch.nonzero, torch.unique, torch.bincount, torch.masked_select, torch.allclose}


class Reads(TorchFunctionMode):
    """Lists the functions that read a tensor's values on the host."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in READS:
            self.found.append(func.__name__)
        return func(*args, **(kwargs or {}))


def reads_of_steps(module: TaskModule[Any], task: str, folder: Path, **options: Any) -> list[Any]:
    """Trains on three steps of three micro-batches; gives what each step reads."""
    reads = []
    original = module.training_step

    def training_step(step: Step, batch_idx: int) -> None:
        with Reads() as found:
            original(step, batch_idx)
        reads.append(found.found)

    with mock.patch.object(module, "training_step", training_step):
        trainer = trainer_of(folder, 3, **options)
        trainer.fit(module, datamodule=DrawnRows(task, micro_batch_size=2))
    return reads


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "16-mixed", "bf16-true"])
def test_a_step_of_lightning_reads_its_totals_only(precision: str, tmp_path: Path) -> None:
    module = module_of(
        "classification",
        log_every_n_steps=1,
        clipping=GradientClipping(1.0),
        optimizer=lambda groups: torch.optim.AdamW(groups, lr=1e-3, fused=True),
    )
    # Only the CPU groups sequences by length, which reads their lengths.
    with mock.patch.object(Grouping, "by_length", Grouping.single_group):
        reads = reads_of_steps(module, "classification", tmp_path, precision=precision)
    assert reads == [["tolist"]] * 3


class StrictSyncs(Callback):
    """Makes every wait for the GPU an error in steps after the first, except for the totals."""

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        # The first step makes the optimizer's state, and moves what is moved once.
        torch.cuda.set_sync_debug_mode("error" if batch_idx else "default")

    def on_train_batch_end(self, *arguments: Any, **options: Any) -> None:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed", "16-mixed", "bf16-true"])
@pytest.mark.parametrize("task", TASKS)
def test_a_step_on_a_gpu_waits_for_its_totals_only(
    task: str, precision: str, tmp_path: Path
) -> None:
    waits = []

    def totals(*groups: Mapping[str, Tensor]) -> list[dict[str, float]]:
        mode = torch.cuda.get_sync_debug_mode()
        torch.cuda.set_sync_debug_mode("default")
        waits.append(mode)
        try:
            return over_processes(*groups)
        finally:
            torch.cuda.set_sync_debug_mode(mode)

    module = module_of(
        task,
        log_every_n_steps=1,
        clipping=GradientClipping(1.0),
        optimizer=lambda groups: torch.optim.AdamW(groups, lr=1e-3, fused=True),
    )
    options: dict[str, Any] = {"accelerator": "gpu", "precision": precision}
    try:
        with mock.patch("clozekit.tasks.base.over_processes", totals):
            trainer = trainer_of(tmp_path, 4, callbacks=[StrictSyncs()], **options)
            trainer.fit(module, datamodule=DrawnRows(task, micro_batch_size=2))
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert waits == [0, 2, 2, 2]
