"""The monitored metrics of callbacks, and early stopping."""

from collections.abc import Mapping
from typing import Any, Literal

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping as LightningEarlyStopping
from lightning.pytorch.callbacks import Timer
from lightning.pytorch.callbacks.early_stopping import EarlyStoppingReason

from clozekit.config.callbacks import Mode, check_mode
from clozekit.errors import ConfigError
from clozekit.tasks.base import TaskModule

AUTO: Literal["auto"] = "auto"
"""The task's default metric or mode."""


def monitored(module: LightningModule, monitor: str | None, mode: Mode) -> tuple[str | None, Mode]:
    """Returns the metric and the mode, with the task's defaults for `auto`."""
    if monitor != AUTO:
        return monitor, mode
    assert isinstance(module, TaskModule)
    return module.monitor, module.monitor_mode if mode == AUTO else mode


def check_monitors(
    callbacks: Mapping[str, Any],
    module: TaskModule[Any],
    added: Mapping[str, Literal["min", "max"] | None] | None = None,
) -> None:
    """Checks before training that the metrics monitored by callbacks exist.

    Args:
        callbacks: The arguments of each callback that monitors a metric, by the callback's name.
        module: The task. Nothing is checked if its metrics are not known before a validation.
        added: The metrics that callbacks add, with the modes of their best values.

    Raises:
        ConfigError: A metric does not exist, or the mode is the opposite of its own.
    """
    known = module.validation_metrics_and_modes()
    if known is None:
        return
    known = {**known, **(added or {})}
    for name, arguments in callbacks.items():
        given = arguments.get("monitor", AUTO)
        monitor, mode = monitored(module, given, arguments.get("mode", AUTO))
        if monitor is None:
            continue
        key = f"callbacks.{name}"
        if monitor not in known:
            raise ConfigError(
                f"{key}.monitor={monitor} is not a validation metric; the metrics are "
                f"{', '.join(sorted(known))}"
            )
        if known[monitor] not in (None, mode):
            raise ConfigError(
                f"{key}.mode={mode} would take the worst {monitor} for the best; it should be "
                f"{known[monitor]}"
            )


def forget_stops(trainer: Trainer) -> None:
    """Lets a run that begins at another run's checkpoint not end because that run did.

    The time that `max_time` counts and the patience of early stopping are those of a run.
    """
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, Timer | LightningEarlyStopping):
            callback.load_state_dict = _restore_nothing  # type: ignore[method-assign]


def _restore_nothing(state_dict: dict[str, Any]) -> None:
    """Replaces the restoring of a callback's state."""


class StopsAgain(Callback):
    """Ends a resumed run that early stopping had ended: clozekit's or Lightning's."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Looks at the states that are restored."""
        callbacks = trainer.callbacks  # type: ignore[attr-defined]
        if any(
            isinstance(each, LightningEarlyStopping) and _has_stopped(each) for each in callbacks
        ):
            trainer.should_stop = True


def _has_stopped(stopping: LightningEarlyStopping) -> bool:
    # The patience may be longer now, and then the reason of before is none.
    if stopping.stopping_reason in (
        EarlyStoppingReason.NOT_STOPPED,
        EarlyStoppingReason.PATIENCE_EXHAUSTED,
    ):
        return stopping.wait_count >= max(stopping.patience, 1)
    return True


class EarlyStopping(LightningEarlyStopping):
    """Ends training when the monitored metric has not improved for several validations.

    Args:
        monitor: The validation metric; `auto` for the task's default.
        mode: Whether the smallest (`min`) or the largest (`max`) value is the best; `auto` for the
            task's default.
        patience: The number of validations without improvement after which training ends; 0 is the
            same as 1.
        min_delta: The minimum change that counts as an improvement.
    """

    def __init__(
        self,
        monitor: str = AUTO,
        mode: Mode = AUTO,
        patience: int = 3,
        min_delta: float = 0.0,
    ) -> None:
        check_mode(monitor, mode)
        # A placeholder for `auto`; `setup` sets the task's metric and mode.
        super().__init__(monitor, min_delta, patience, mode="min" if mode == AUTO else mode)
        self.given_mode = mode
        # Lightning changes the sign of its own copy, depending on the mode.
        self.given_min_delta = min_delta

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Replaces `auto` with the task's metric and mode."""
        monitor, mode = monitored(pl_module, self.monitor, self.given_mode)
        if monitor != self.monitor:
            assert monitor is not None
            super().__init__(monitor, self.given_min_delta, self.patience, mode=mode)
            self.given_mode = mode
        super().setup(trainer, pl_module, stage)

    def state_dict(self) -> dict[str, Any]:
        """Returns the best value and the number of validations since, as plain values."""
        state = super().state_dict()
        return {**state, "best_score": float(state["best_score"])}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restores the best value and the number of validations since; the patience may change."""
        super().load_state_dict(
            {**state_dict, "best_score": self.best_score, "patience": self.patience}
        )
        self.best_score = self.best_score.new_tensor(state_dict["best_score"])
