"""When there is a validation, and what it cannot tell: left-out sources, rows of training."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer

from clozekit.config.train import TrainConfig
from clozekit.data.module import StreamDataModule
from clozekit.errors import ConfigError
from clozekit.output.display import warn
from clozekit.tasks.source_metrics import PREFIX


def validation_follows(trainer: Trainer) -> bool:
    """Whether Lightning validates after the current step.

    Returns False for validations at time intervals, which are not known in advance.
    """
    if not trainer.enable_validation:
        return False
    interval = trainer.val_check_batch
    is_due = isinstance(interval, int) and trainer.global_step % interval == 0
    # Lightning does not validate for a stop that `min_steps` delays.
    return is_due or (trainer.should_stop and trainer.fit_loop._can_stop_early)


def agree_on_time_of_validation(trainer: Trainer) -> None:
    """Lets the first process decide when a validation at a time interval begins.

    Each process of Lightning's asks its own clock, so that one may validate while the others train,
    and each waits for the others.
    """
    epoch_loop = trainer.fit_loop.epoch_loop
    is_due = epoch_loop._should_check_val_fx

    def is_due_for_all(data_fetcher: Any) -> bool:
        return bool(trainer.strategy.broadcast(is_due(data_fetcher)))

    epoch_loop._should_check_val_fx = is_due_for_all  # type: ignore[method-assign]


def unvalidated_sources(trainer: Trainer, datamodule: StreamDataModule) -> tuple[str, ...]:
    """Returns the sources of a mixture that have no batch in a validation.

    The sources take turns, so these are the last ones if a validation has fewer batches than
    sources over all processes. None are left out if nothing is validated.
    """
    limit = trainer.limit_val_batches
    if not isinstance(limit, int) or limit == 0 or trainer.fast_dev_run:  # type: ignore[attr-defined]
        return ()
    return datamodule.source_names[limit * trainer.world_size :]


def check_sources(
    trainer: Trainer, datamodule: StreamDataModule, callbacks: Mapping[str, Any]
) -> None:
    """Warns of sources that have no batch in a validation.

    Args:
        trainer: The Trainer, whose limits are numbers of batches.
        datamodule: The data.
        callbacks: The arguments of each callback that monitors a metric, by the callback's name.

    Raises:
        ConfigError: A callback monitors a metric of such a source.
    """
    left_out = unvalidated_sources(trainer, datamodule)
    if not left_out:
        return
    limit = trainer.limit_val_batches
    enough = -(-len(datamodule.source_names) // trainer.world_size)
    for name, arguments in callbacks.items():
        monitor = str(arguments.get("monitor"))
        if monitor.startswith(tuple(f"{PREFIX}{source}/" for source in left_out)):
            raise ConfigError(
                f"callbacks.{name}.monitor={monitor} has no value with trainer.limit_val_batches="
                f"{limit}, which leaves no batch for {', '.join(left_out)}; it should be at least "
                f"{enough}"
            )
    if trainer.is_global_zero:
        warn(
            f"trainer.limit_val_batches is {limit} for {len(datamodule.source_names)} sources, "
            f"which take turns: {', '.join(left_out)} will not be validated; set it to at least "
            f"{enough}"
        )


def warn_of_trained_rows(config: TrainConfig) -> None:
    """Warns of labelled rows that are both trained on and evaluated on.

    Runs that only try something out, or overfit on purpose, are left alone.
    """
    if config.trainer.fast_dev_run or config.trainer.overfit_batches:
        return
    given = config.data.model_extra or {}
    for split in ("validation", "test"):
        if _is_same(given.get("train"), given.get(split)):
            warn(
                f"data.{split} and data.train are the same, {given['train']}: the metrics of "
                f"{split} are those of rows that the model is trained on",
            )


def _is_same(one: Any, other: Any) -> bool:
    """Whether two texts name the same file, or the same split of a dataset."""
    if not (isinstance(one, str) and isinstance(other, str)):
        return False
    try:
        return one == other or Path(one).samefile(other)
    except (OSError, ValueError):
        return False
