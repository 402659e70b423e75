"""Measures the time of a run's steps, validations and checkpoints, without leaving a trace.

A model, its data and a Trainer are built as for the run, take a few steps, and are thrown away. So
the run itself begins as if nothing had been measured.
"""

import gc
import time
from dataclasses import dataclass
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer, seed_everything
from lightning.pytorch.strategies import Strategy

from clozekit.config.train import TrainConfig
from clozekit.data.module import StreamDataModule
from clozekit.data.order import Position
from clozekit.runs.folder import RunFolder
from clozekit.tasks.base import TaskModule
from clozekit.training import memory
from clozekit.training.assembly import make_module
from clozekit.training.beginning import Beginning, Parts, make_parts
from clozekit.training.failures import divergence_in_words
from clozekit.training.rank_watch import watched
from clozekit.training.trainer import make_trainer

WARM_UP_STEPS = 3
"""The first steps of each phase are slower: memory is allocated and kernels are chosen."""

FEWEST_STEPS = 3
MOST_STEPS = 500
VALIDATION_BATCHES = 8
_END = 10**6


@dataclass(frozen=True)
class Measured:
    """What was measured.

    Attributes:
        step: The seconds of a step, for each phase.
        warm_up: The seconds that the first steps of each phase take beyond that, together.
        validation: The seconds of a validation.
        checkpoint: The seconds to write a checkpoint, without those of the disk.
        checkpoint_bytes: The size of a checkpoint.
        start: The seconds to build data and model.
        peak_bytes: The most memory that a process, or its GPU, has used.
        total: The seconds that measuring took.
    """

    step: tuple[float, ...]
    warm_up: float
    validation: float
    checkpoint: float
    checkpoint_bytes: int
    start: float
    peak_bytes: int
    total: float


def measure(begin: Beginning, parts: Parts, seconds: float) -> Measured:
    """Measures a run on all its processes; the result is that of the first process on all of them.

    Args:
        begin: Where the run begins.
        parts: The data and the encoder of the run.
        seconds: About how long the measured steps may take, in all phases together.

    Raises:
        UserError: The configuration cannot be used.
    """
    began = time.perf_counter()
    config = _quiet(parts.config)
    seed_everything(config.seed, verbose=False)
    datamodule, encoder = make_parts(begin)[2:4]
    module = make_module(config, encoder, datamodule, _END)
    start = time.perf_counter() - began
    folder = RunFolder(config.run_dir)
    steps, warm_ups, size, saving = [], [], 0, 0.0
    num_phases = len(datamodule.phases(_END, 0, 1))
    trainer: Trainer | None = None
    for phase in range(num_phases):
        timer = StepTimer(seconds / num_phases)
        datamodule.only_phase = phase
        trainer = make_trainer(_without_validation(config), encoder, datamodule, folder, _END)
        trainer.callbacks.append(timer)  # type: ignore[attr-defined]
        with watched(trainer), divergence_in_words(config):
            trainer.fit(module, datamodule=datamodule)
        steps.append(timer.seconds_per_step)
        warm_ups.append(timer.seconds_of_warm_up)
        size, saving = timer.checkpoint_bytes, timer.seconds_of_saving
        datamodule.position = Position()
    assert trainer is not None
    validation = _validation(config, parts, module, datamodule, trainer.strategy)
    measured = Measured(
        step=tuple(steps),
        warm_up=sum(max(0.0, w - WARM_UP_STEPS * s) for w, s in zip(warm_ups, steps, strict=True)),
        validation=validation,
        checkpoint=saving,
        checkpoint_bytes=size,
        start=start,
        peak_bytes=peak_memory(trainer.strategy.root_device),
        total=time.perf_counter() - began,
    )
    measured = trainer.strategy.broadcast(measured)
    del module, datamodule, trainer
    gc.collect()
    return measured


def peak_memory(device: torch.device) -> int:
    """Returns the peak memory of this process in bytes: of its GPU, else of the host."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return memory.used_so_far()


class StepTimer(Callback):
    """Times the steps after the warm-up, and ends training when there are enough.

    All processes stop at the same step: the first one decides.

    Args:
        seconds: About how long the measured steps may take.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.num_steps = 0
        self.elapsed = 0.0
        self.seconds_of_warm_up = 0.0
        self.seconds_of_saving = 0.0
        self.checkpoint_bytes = 0
        self._since = 0.0

    @property
    def seconds_per_step(self) -> float:
        """The mean time of a measured step."""
        return self.elapsed / max(1, self.num_steps - WARM_UP_STEPS)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Starts the clock."""
        self._since = time.perf_counter()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Adds the time since the last step, with that of loading."""
        _wait_for(trainer.strategy.root_device)
        elapsed = time.perf_counter() - self._since
        self.num_steps += 1
        if self.num_steps <= WARM_UP_STEPS:
            self.seconds_of_warm_up += elapsed
        else:
            self.elapsed += elapsed
        measured = self.num_steps - WARM_UP_STEPS
        is_enough = measured >= MOST_STEPS or (
            measured >= FEWEST_STEPS and self.elapsed >= self.seconds
        )
        if trainer.strategy.broadcast(is_enough):
            self._save(trainer)
            trainer.should_stop = True
        self._since = time.perf_counter()

    def _save(self, trainer: Trainer) -> None:
        """Measures a checkpoint without a file."""
        checkpoint = trainer._checkpoint_connector.dump_checkpoint(weights_only=False)
        counter: Any = _Counter()
        began = time.perf_counter()
        torch.save(checkpoint, counter)
        self.seconds_of_saving = time.perf_counter() - began
        self.checkpoint_bytes = counter.num_bytes


class _Counter:
    """Counts the bytes of a file that is not kept."""

    def __init__(self) -> None:
        self.num_bytes = 0

    def write(self, data: Any) -> int:
        size = len(memoryview(data).cast("B"))
        self.num_bytes += size
        return size

    def flush(self) -> None:
        """Does nothing."""


def _validation(
    config: TrainConfig,
    parts: Parts,
    module: TaskModule[Any],
    datamodule: StreamDataModule,
    processes: Strategy,
) -> float:
    """Returns the seconds of a validation, from a few of its batches."""
    trainer = make_trainer(config, parts.encoder, datamodule, RunFolder(config.run_dir), _END)
    total = datamodule.num_evaluation_batches("validation", trainer.global_rank, trainer.world_size)
    if isinstance(trainer.limit_val_batches, int):
        total = min(total, trainer.limit_val_batches)
    # Another process may have none, and still takes part.
    total = processes.broadcast(total)
    number = min(total, VALIDATION_BATCHES)
    if not number:
        return 0.0
    trainer.limit_val_batches = number
    with watched(trainer):
        trainer.validate(module, datamodule=datamodule, verbose=False)
        began = time.perf_counter()
        trainer.validate(module, datamodule=datamodule, verbose=False)
        _wait_for(trainer.strategy.root_device)
    return (time.perf_counter() - began) * total / number


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _quiet(config: TrainConfig) -> TrainConfig:
    """Removes what a run writes, and what would end it or look at it."""
    trainer = config.trainer.model_copy(
        update={
            "profiler": None,
            "max_time": None,
            **({"min_steps": None} if "min_steps" in (config.trainer.model_extra or {}) else {}),
            "num_sanity_val_steps": 0,
            "fast_dev_run": False,
        }
    )
    nothing: dict[str, Any] = {"logger": {}, "callbacks": {}, "resume": None}
    return config.model_copy(update={"trainer": trainer, **nothing})


def _without_validation(config: TrainConfig) -> TrainConfig:
    trainer = config.trainer.model_copy(update={"limit_val_batches": 0, "val_check_interval": None})
    return config.model_copy(update={"trainer": trainer, "validate_every_n_steps": None})
