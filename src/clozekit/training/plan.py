"""What a run would take, for `plan=true`: steps, tokens, time, memory and disk."""

from dataclasses import asdict, dataclass, replace

from lightning.pytorch import Trainer

from clozekit.config.callbacks import checkpoints_of
from clozekit.config.train import TrainConfig
from clozekit.data.module import StreamDataModule
from clozekit.runs.folder import RunFolder, is_first_process
from clozekit.training.assembly import make_module
from clozekit.training.beginning import (
    Beginning,
    Parts,
    beginning_of,
    make_parts,
    tell_of_schedule,
)
from clozekit.training.budget import seconds_to_measure, steps_within
from clozekit.training.cost import Cost
from clozekit.training.length import max_steps_of, steps_in_phases, tokens_per_step
from clozekit.training.measuring import measure
from clozekit.training.run_summary import (
    MemoryEstimate,
    estimate_memory,
    memory_in_words,
    print_rows,
)
from clozekit.training.trainer import make_trainer

SECONDS = 5.0
"""About how long the steps of a run without a budget are measured."""


@dataclass(frozen=True)
class Forecast:
    """What a run would take.

    Attributes:
        max_steps: The number of steps.
        steps_per_epoch: The number of steps per pass over the data.
        tokens: The number of tokens, without padding.
        seconds: The time, with validations and checkpoints.
        memory_bytes: The memory of a process on the CPU, or of its GPU, by formula.
        measured_bytes: The most memory that was used while measuring.
        disk_bytes: The size of the checkpoints that are kept.
    """

    max_steps: int
    steps_per_epoch: float
    tokens: float
    seconds: float
    memory_bytes: int
    measured_bytes: int
    disk_bytes: int


def print_plan(config: TrainConfig) -> dict[str, float]:
    """Prints what a run would take, and returns it by name.

    Nothing is written, except encoded rows of large files, which the run finds again.

    Raises:
        UserError: The configuration or the data cannot be used.
    """
    begin = beginning_of(config)
    parts = make_parts(begin)
    estimate, trainer = _memory(parts)
    budget = begin.config.budget
    measured = measure(begin, parts, seconds_to_measure(budget) if budget else SECONDS)
    if budget is not None:
        begin = begin.with_steps(steps_within(budget, begin, parts, measured))
        parts = parts._replace(config=begin.config)
    datamodule = parts.datamodule
    max_steps = max_steps_of(parts.config, datamodule)
    tell_of_schedule(replace(begin, config=parts.config, parent=parts.parent), max_steps)
    phases = datamodule.phases(max_steps, 0, 1)
    tokens = [tokens_per_step(phase) for phase in phases]
    steps = steps_in_phases(datamodule, max_steps, begin.first_step)
    cost = Cost(measured, parts.config, datamodule, begin.first_step)
    number = _checkpoints_kept(cost, max_steps)
    forecast = Forecast(
        max_steps=max_steps,
        steps_per_epoch=datamodule.steps_per_epoch(),
        tokens=sum(n * each for n, each in zip(steps, tokens, strict=True)),
        seconds=cost.seconds(max_steps),
        memory_bytes=sum(estimate),
        measured_bytes=measured.peak_bytes,
        disk_bytes=number * measured.checkpoint_bytes,
    )
    if is_first_process():
        rows = {
            "plan of": str(config.run_dir),
            "begins at": _beginning(begin),
            "steps": f"{max_steps:,}, with {forecast.steps_per_epoch:,.0f} per epoch",
            "tokens": f"about {forecast.tokens:,.0f}",
            **_phases(datamodule, max_steps, steps, tokens, measured.step),
            "time": f"about {in_words(forecast.seconds)}, with validations and checkpoints",
            "memory": memory_in_words(estimate, trainer.strategy.root_device),
            "measured": f"{measured.peak_bytes / 2**20:,.0f} MiB in the first steps",
            "disk": f"{forecast.disk_bytes / 2**20:,.0f} MiB for {number} checkpoints",
        }
        print_rows(rows)
    return {name: float(value) for name, value in asdict(forecast).items()}


def in_words(seconds: float) -> str:
    """Returns a time in its largest two units."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.1f} s"


def _memory(parts: Parts) -> tuple[MemoryEstimate, Trainer]:
    """Estimates the memory before anything is measured, which would count as used."""
    config, datamodule, encoder = parts.config, parts.datamodule, parts.encoder
    quiet = config.model_copy(update={"logger": {}, "callbacks": {}})
    steps = 1 if config.budget is not None else max_steps_of(config, datamodule)
    module = make_module(quiet, encoder, datamodule, steps)
    trainer = make_trainer(quiet, encoder, datamodule, RunFolder(config.run_dir), steps)
    return estimate_memory(module, encoder, datamodule, trainer), trainer


def _beginning(begin: Beginning) -> str | None:
    if begin.checkpoint is None:
        return None
    return f"step {begin.first_step} of {begin.checkpoint.path}"


def _phases(
    datamodule: StreamDataModule,
    max_steps: int,
    steps: list[int],
    tokens: list[float],
    seconds: tuple[float, ...],
) -> dict[str, str]:
    """Describes each phase, or the only one."""
    rows = {}
    shapes = [phase.shape for phase in datamodule.phases(max_steps, 0, 1)]
    several = len(shapes) > 1
    for index, (shape, n, each, time) in enumerate(
        zip(shapes, steps, tokens, seconds, strict=True)
    ):
        count = f"{n:,} steps of " if several else ""
        rows[f"phase {index + 1}" if several else "step"] = (
            f"{count}{shape.global_batch_size} samples, about {each:,.0f} tokens and "
            f"{in_words(time) if time >= 1 else f'{time:.3g} s'}"
        )
    return rows


def _checkpoints_kept(cost: Cost, max_steps: int) -> int:
    """Returns the number of checkpoints that a run keeps: the best ones and the last one."""
    checkpoints = checkpoints_of(cost.config)
    validations, _ = cost.events(max_steps)
    is_validated = cost.config.trainer.limit_val_batches not in (0, 0.0)
    if checkpoints is None or checkpoints.monitor is None or not is_validated:
        return 1
    best = checkpoints.save_top_k
    return 1 + (validations if best == -1 else min(best, validations))
