"""The group `trainer`: the keys of Lightning's Trainer, with their types and limits."""

from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, StrictFloat, model_validator

from clozekit.config.checks.trainer_keys import (
    check_interval,
    check_longer_than_0,
    check_trainer_keys,
)
from clozekit.config.groups import Component
from clozekit.config.values import LARGEST, Count, Precision

Share = Annotated[StrictFloat, Field(ge=0, le=1)]
CountOrZero = Annotated[int, Field(ge=0, le=LARGEST)]
Interval = Annotated[Count | Share | str | dict[str, int], BeforeValidator(check_interval)]
Duration = Annotated[str | dict[str, int], BeforeValidator(check_longer_than_0)]
SomeShare = Annotated[StrictFloat, Field(gt=0, le=1)]


class TrainerConfig(Component):
    """The Lightning Trainer. Each batch that Lightning sees is one optimizer step.

    Attributes:
        float32_matmul_precision: The precision of float32 matrix multiplications
            (`torch.set_float32_matmul_precision`). `high` lets a GPU use TF32, which is faster. On
            the CPU it could mean bfloat16, so the CPU uses `highest`.
        precision: The numerical precision of training.
        gradient_clip_val: The maximum gradient norm; null to disable clipping.
        gradient_clip_algorithm: Whether to limit the norm of all gradients (`norm`), or each
            value (`value`).
        log_every_n_steps: The number of optimizer steps between logged rows.
        val_check_interval: Lightning's key for how often to validate, instead of
            `validate_every_n_steps`: a number of steps, a fraction of an epoch, or a time such as
            00:01:00:00.
        num_sanity_val_steps: The number of validation batches to run before training, so that
            errors in validation appear at once; -1 for all.
        limit_train_batches: The number of steps per epoch, or a fraction of them, more than 0; null
            for all.
        limit_val_batches: The number of batches per validation, or a fraction of them; null for
            all.
        overfit_batches: The number of steps, or the fraction of an epoch, to train on repeatedly;
            0 for all data.
        fast_dev_run: Runs one step (or this many) of training, validation and test, and saves
            nothing.
        max_time: The maximum training time, such as 00:12:00:00, more than 0; null for no limit.
        profiler: `simple`, `advanced` or `pytorch`; its report is printed at the end.
        detect_anomaly: Whether torch detects the operation that produced a NaN gradient.
    """

    float32_matmul_precision: Literal["highest", "high", "medium"] = "highest"
    precision: Precision = "32-true"
    gradient_clip_val: float | None = Field(None, ge=0, allow_inf_nan=False)
    gradient_clip_algorithm: Literal["norm", "value"] = "norm"
    log_every_n_steps: Count = 10
    val_check_interval: Interval | None = None
    num_sanity_val_steps: int = Field(1, ge=-1, le=LARGEST)
    limit_train_batches: Count | SomeShare | None = None
    limit_val_batches: CountOrZero | Share | None = None
    overfit_batches: CountOrZero | Share = 0
    fast_dev_run: bool | CountOrZero = False
    max_time: Duration | None = None
    profiler: Literal["simple", "advanced", "pytorch"] | dict[str, Any] | None = None
    detect_anomaly: bool = False

    @model_validator(mode="after")
    def _check_keys(self) -> Self:
        check_trainer_keys(self.target, self.model_extra or {})
        return self

    @property
    def is_one_epoch(self) -> bool:
        """Whether the whole run is one epoch for Lightning, which counts by a limit of batches."""
        limit = self.limit_train_batches
        return limit is None or (isinstance(limit, float) and limit == 1)

    def arguments(self) -> dict[str, Any]:
        """Returns the Trainer's arguments; `float32_matmul_precision` is not one of them."""
        return self.model_dump(by_alias=True, exclude={"float32_matmul_precision"})
