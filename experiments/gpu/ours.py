"""clozekit's training as its command runs it: configuration, task, optimizer, Trainer."""

import gc
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from cards import synchronize
from held import HeldData
from hydra import compose, initialize_config_dir
from lightning.pytorch import Callback, LightningModule, Trainer
from omegaconf import OmegaConf
from parts import in_one_line

from clozekit.config.composition.location import conf_dir
from clozekit.config.encoder import EncoderConfig
from clozekit.config.train import TrainConfig
from clozekit.runs.folder import RunFolder
from clozekit.training.assembly import encoder_config, make_module
from clozekit.training.quiet import silence_warnings
from clozekit.training.trainer import make_trainer

ENDLESS = 1_000_000
"""More steps than are ever taken; the callback stops the run."""

QUIET = (
    "name=measured",
    "seed=0",
    f"max_steps={ENDLESS}",
    "logger.csv=null",
    "logger.wandb=null",
    "callbacks.checkpoints=null",
    "callbacks.preemption=null",
    "callbacks.progress=null",
    "trainer.num_sanity_val_steps=0",
    "trainer.limit_val_batches=0",
    "trainer.precision=bf16-mixed",
)
"""A training run that writes no files."""

TOY = (
    "encoder.hidden_size=32",
    "encoder.num_hidden_layers=1",
    "encoder.num_attention_heads=2",
    "encoder.intermediate_size=64",
)
"""The sizes of all encoders in a smoke run."""

Block = Callable[[], None]
"""Takes as many steps as there are batches."""


@dataclass
class Measured:
    """A program's blocks.

    Attributes:
        seconds: Of each block.
        step_bytes: The most memory of a step, beside what stays allocated between steps.
    """

    seconds: list[float] = field(default_factory=list)
    step_bytes: int = 0


def train_config(
    size: str, dropout: float, compiling: str, settings: Mapping[str, Any], *more: str
) -> TrainConfig:
    """Composes the configuration of a run, as the command does."""
    overrides = [
        f"encoder={size}",
        *(TOY if settings["smoke"] else ()),
        f"encoder.hidden_dropout_prob={dropout}",
        f"encoder.attention_probs_dropout_prob={dropout}",
        f"trainer={'gpu' if settings['device'] == 'cuda' else 'cpu'}",
        *QUIET,
        f"compile={compiling}",
        *more,
    ]
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        composed = compose("train", overrides=overrides)
    values = OmegaConf.to_container(composed, resolve=True, throw_on_missing=True)
    return TrainConfig.model_validate(values)


def train_in_turn(
    config: TrainConfig,
    data: HeldData,
    others: Mapping[str, Block],
    is_enough: Callable[[int, float], bool],
    settings: Mapping[str, Any],
) -> "tuple[Turns, EncoderConfig]":
    """Trains with the real Trainer; after each pass over the batches, other programs take theirs.

    Args:
        config: The configuration.
        data: The batches.
        others: Blocks of the other programs, as many steps each as there are batches.
        is_enough: Whether to stop after a number of repetitions and of seconds.
        settings: The device.

    Returns:
        The callback, which has what was measured, and the encoder's configuration.
    """
    silence_warnings(shows_profile=False)
    torch.set_float32_matmul_precision(config.trainer.float32_matmul_precision)
    encoder = encoder_config(config.encoder, data, None)
    module = make_module(config, encoder, data, ENDLESS)
    trainer = make_trainer(config, encoder, data, RunFolder.at(config.run_dir), ENDLESS)
    turns = Turns(others, len(data.batches), is_enough, settings)
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    callbacks.append(turns)
    trainer.fit(module, datamodule=data)
    return turns, encoder


class Turns(Callback):
    """Measures blocks of training steps, and lets other programs take a block after each.

    A block is measured from the end of the step before it, so it has the loading of batches and
    their copies to the device. The first block of each program is a warm-up, in which it compiles.

    Attributes:
        measured: The blocks of `clozekit` and of the other programs.
        failures: The errors of the programs that were left out.
    """

    def __init__(
        self,
        others: Mapping[str, Block],
        steps: int,
        is_enough: Callable[[int, float], bool],
        settings: Mapping[str, Any],
    ) -> None:
        self.others = dict(others)
        self.failures: dict[str, str] = {}
        self.steps = steps
        self.is_enough = is_enough
        self.device = torch.device(settings["device"])
        self.measured = {name: Measured() for name in ("clozekit", *others)}
        self._num_blocks = 0
        self._since = self._measuring_since = 0.0
        self._allocated = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._begin()

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        if (batch_idx + 1) % self.steps:
            return
        if self._num_blocks:
            self._end("clozekit")
            for name, block in self.others.items():
                self._begin()
                block()
                self._end(name)
        else:
            self._warm_up_others()
            self._measuring_since = time.perf_counter()
        elapsed = time.perf_counter() - self._measuring_since
        trainer.should_stop = self.is_enough(self._num_blocks, elapsed)
        self._num_blocks += 1
        self._begin()

    def _warm_up_others(self) -> None:
        """Takes their first blocks; a program that fails, say to compile, is left out."""
        for name, block in list(self.others.items()):
            try:
                block()
            except torch.cuda.OutOfMemoryError:
                raise
            except Exception as error:
                if "CUDA error" in str(error):
                    raise
                traceback.print_exc()
                self.failures[name] = in_one_line(error)
                del self.others[name], self.measured[name]
        synchronize(self.device)

    def _begin(self) -> None:
        synchronize(self.device)
        if self.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
            self._allocated = torch.cuda.memory_allocated()
        self._since = time.perf_counter()

    def _end(self, name: str) -> None:
        synchronize(self.device)
        seconds = time.perf_counter() - self._since
        measured = self.measured[name]
        measured.seconds.append(seconds)
        if self.device.type == "cuda":
            peak = torch.cuda.max_memory_allocated() - self._allocated
            measured.step_bytes = max(measured.step_bytes, peak)


def enough(settings: Mapping[str, Any]) -> Callable[[int, float], bool]:
    """Stops after 20 repetitions; with 3 of them after 6 seconds; in any case after 20."""
    if settings["smoke"]:
        return lambda repetitions, elapsed: repetitions >= 1
    return lambda repetitions, elapsed: (
        repetitions >= 20
        or (repetitions >= 3 and elapsed > 6)
        or (repetitions >= 1 and elapsed > 20)
    )


def with_fewer_rows(
    rows: int, attempt: Callable[[int], Any], device: torch.device
) -> tuple[int, Any]:
    """Halves the rows of a batch until they fit into the memory of the device."""
    while True:
        try:
            return rows, attempt(rows)
        except torch.cuda.OutOfMemoryError:
            if rows == 1:
                raise
        free_memory()  # here, where the error is gone, whose traceback holds tensors
        rows //= 2
        print(f"out of memory; {rows} rows a batch", flush=True)


def free_memory() -> None:
    """Frees what earlier rows have left: modules and Trainers refer to each other."""
    gc.collect()
    torch.cuda.empty_cache()


def tokens_of(batches: Sequence[Any]) -> int:
    return sum(batch.packing.num_tokens for batch in batches)
