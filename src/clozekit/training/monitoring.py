"""Which metric a callback goes by, and when it ends a training that has stopped to learn."""

import warnings
from collections.abc import Mapping
from typing import Any, Literal

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import EarlyStopping as LightningEarlyStopping

from clozekit.errors import ConfigError
from clozekit.tasks.base import TaskModule

AUTO: Literal["auto"] = "auto"
"""The task's own metric, or its mode."""

Mode = Literal["min", "max", "auto"]


def check_mode(monitor: str | None, mode: str) -> None:
    """Checks how a metric is to be compared.

    Raises:
        ValueError: The mode is none, or is missing for a metric that the task did not choose.
    """
    if mode not in ("min", "max", AUTO):
        raise ValueError(f"mode={mode!r}: it should be 'min', 'max' or 'auto'")
    if mode == AUTO and monitor not in (AUTO, None):
        raise ValueError(f"mode=auto is for monitor=auto; monitor={monitor!r} needs 'min' or 'max'")


def monitored(module: LightningModule, monitor: str | None, mode: Mode) -> tuple[str | None, Mode]:
    """Gives the metric and the mode, the task's own where they are `auto`."""
    if monitor != AUTO:
        return monitor, mode
    assert isinstance(module, TaskModule)
    return module.monitor, module.monitor_mode if mode == AUTO else mode


def check_monitors(callbacks: Mapping[str, Any], module: TaskModule[Any]) -> None:
    """Checks before training that the metrics are there which callbacks go by.

    Args:
        callbacks: The arguments of each callback that goes by a metric, by its name.
        module: The task. One that does not say what it validates by is not checked.

    Raises:
        ConfigError: A metric does not exist.
    """
    known = module.validation_metrics_and_modes()
    if known is None:
        return
    for name, arguments in callbacks.items():
        given = arguments.get("monitor", AUTO)
        monitor, mode = monitored(module, given, arguments.get("mode", AUTO))
        if monitor is None:
            continue
        key = f"callbacks.{name}"
        if monitor not in known:
            raise ConfigError(
                f"{key}.monitor={monitor}: there is no such metric of the validation; there are "
                f"{', '.join(sorted(known))}"
            )
        if known[monitor] not in (None, mode):
            warnings.warn(
                f"{key}.mode={mode}: the worst {monitor} is kept as the best; the usual mode is "
                f"{known[monitor]}",
                stacklevel=2,
            )


class EarlyStopping(LightningEarlyStopping):
    """Ends the training once the monitored metric has not become better for some validations.

    Args:
        monitor: The validation metric; `auto` for the task's own.
        mode: Whether the smallest (`min`) or the largest (`max`) value is the best; `auto` for the
            task's own.
        patience: The validations without a better value that end the training; 0 does as 1 does.
        min_delta: How much better a value must be to count.
    """

    def __init__(
        self,
        monitor: str = AUTO,
        mode: Mode = AUTO,
        patience: int = 3,
        min_delta: float = 0.0,
    ) -> None:
        check_mode(monitor, mode)
        # Lightning's compares from here on; it is told the task's own once the task is there.
        super().__init__(monitor, min_delta, patience, mode="min" if mode == AUTO else mode)
        self.given_mode = mode
        # Lightning keeps it with the sign of its mode.
        self.given_min_delta = min_delta

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Asks the task for what it did not say."""
        monitor, mode = monitored(pl_module, self.monitor, self.given_mode)
        if monitor != self.monitor:
            assert monitor is not None
            super().__init__(monitor, self.given_min_delta, self.patience, mode=mode)
            self.given_mode = mode
        super().setup(trainer, pl_module, stage)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Ends a training again that had been ended before it was resumed."""
        if self.wait_count >= max(self.patience, 1):
            trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        """Gives the best value and the validations since, in plain values."""
        state = super().state_dict()
        return {**state, "best_score": float(state["best_score"])}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes them over."""
        super().load_state_dict({**state_dict, "best_score": self.best_score})
        self.best_score = self.best_score.new_tensor(state_dict["best_score"])
