"""The configuration of `clozekit train`: its own keys closed, its components open by `_target_`."""

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveInt,
    SerializeAsAny,
    StrictFloat,
    field_validator,
    model_validator,
)

from clozekit.config.encoder import EncoderConfig
from clozekit.config.pairing import mismatch
from clozekit.config.trainer_keys import check_trainer_keys
from clozekit.config.values import as_yaml

COMPILE_CHOICES = "compile=off or compile=default, with compile.mode, .fullgraph and .dynamic"
OWN_SCHEDULE = "clozekit.optim.schedules.learning_rate_factor"

LONGEST_NAME = 255
"""Bytes of a file's or folder's name, on all file systems in common use."""

Share = Annotated[StrictFloat, Field(ge=0, le=1)]


class Closed(BaseModel):
    """A group that takes no other keys than its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Component(BaseModel):
    """A group that names a class by `_target_`; its other keys are that class's arguments."""

    model_config = ConfigDict(extra="allow", frozen=True, populate_by_name=True)

    target: str = Field(alias="_target_")

    def arguments(self) -> dict[str, Any]:
        """Gives the group as Hydra instantiates it."""
        return self.model_dump(by_alias=True)


class OptimizerConfig(Component):
    """An optimizer, made once the parameters are known.

    Attributes:
        lr: The peak learning rate.
        weight_decay: The decay of all parameters but biases and norms.
    """

    lr: float = Field(gt=0)
    weight_decay: NonNegativeFloat = 0.0


class TrainerConfig(Component):
    """The Lightning Trainer; a batch of Lightning is an optimizer step.

    Attributes:
        float32_matmul_precision: How exactly products of 32-bit numbers are computed
            (`torch.set_float32_matmul_precision`). `high` lets a GPU use TF32, which is faster; on
            the CPU it could mean bfloat16, so `highest` is what the CPU has.
        precision: The numbers that are computed with.
        gradient_clip_val: The largest gradient norm; null for no clipping.
        gradient_clip_algorithm: Whether the norm of all gradients is limited (`norm`), or every
            value (`value`).
        log_every_n_steps: Optimizer steps between rows of the history.
        val_check_interval: Validations by Lightning's key, in the place of
            `validate_every_n_steps`: steps, a share of an epoch, or a time such as 00:01:00:00.
        num_sanity_val_steps: Batches of validation before training, so that what fails in
            validation fails at once; -1 for all.
        limit_train_batches: Steps of an epoch, or a share of them; null for all.
        limit_val_batches: Batches of a validation, or a share of them; null for all.
        overfit_batches: Trains on the first steps alone, again and again; 0 for all.
        fast_dev_run: Runs one step of training, validation and test, or so many, and leaves
            nothing behind.
        max_time: Ends training after a time, such as 00:12:00:00; null for no limit.
        profiler: `simple`, `advanced` or `pytorch`; its report is printed at the end.
        detect_anomaly: Whether torch looks for the operation that made a gradient NaN.
    """

    float32_matmul_precision: Literal["highest", "high", "medium"] = "highest"
    precision: Literal["32-true", "bf16-mixed", "16-mixed", "bf16-true", "64-true"] = "32-true"
    gradient_clip_val: NonNegativeFloat | None = None
    gradient_clip_algorithm: Literal["norm", "value"] = "norm"
    log_every_n_steps: PositiveInt = 10
    val_check_interval: PositiveInt | Share | str | dict[str, int] | None = None
    num_sanity_val_steps: int = Field(1, ge=-1)
    limit_train_batches: PositiveInt | Share | None = None
    limit_val_batches: NonNegativeInt | Share | None = None
    overfit_batches: NonNegativeInt | Share = 0
    fast_dev_run: bool | NonNegativeInt = False
    max_time: str | dict[str, int] | None = None
    profiler: str | dict[str, Any] | None = None
    detect_anomaly: bool = False

    @model_validator(mode="after")
    def _keys_are_supported(self) -> Self:
        check_trainer_keys(self.target, self.model_extra or {})
        return self

    def arguments(self) -> dict[str, Any]:
        """Gives what the Trainer takes; the precision of products is not the Trainer's."""
        return self.model_dump(by_alias=True, exclude={"float32_matmul_precision"})


class ScheduleConfig(Closed):
    """The learning rate's course; `_target_` may name another, see `UserScheduleConfig`.

    Attributes:
        decay: What follows the warmup: `linear`, `cosine` or `constant`.
        warmup_steps: Steps of linear warmup; null to take `warmup_ratio`.
        warmup_ratio: The warmup's share of `max_steps`.
        min_lr_ratio: What is left of the peak at the end of the decay.
    """

    decay: Literal["linear", "cosine", "constant"] = "linear"
    warmup_steps: int | None = Field(None, ge=0)
    warmup_ratio: float = Field(0.0, ge=0, le=1)
    min_lr_ratio: float = Field(0.0, ge=0, le=1)

    def num_warmup_steps(self, max_steps: int) -> int:
        """Gives the warmup's length in steps."""
        if self.warmup_steps is not None:
            return self.warmup_steps
        return round(self.warmup_ratio * max_steps)


class UserScheduleConfig(ScheduleConfig):
    """A course of the user's own.

    Attributes:
        target: A function of `step` and `max_steps`, or a class made with `max_steps` whose objects
            are functions of `step`. It gives what the peak learning rate is multiplied with. It
            also gets the group's other keys; of those above only what it has parameters for.
    """

    model_config = ConfigDict(extra="allow", frozen=True, populate_by_name=True)

    target: str = Field(alias="_target_")


class CompileConfig(Closed):
    """How torch compiles the encoder, as in `torch.compile`.

    Attributes:
        enabled: Whether it does.
        mode: What is optimized for.
        fullgraph: Whether a part that cannot be compiled is an error.
        dynamic: Whether one graph serves all shapes; null to find out which dimensions change.
    """

    enabled: bool = False
    mode: Literal["default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs"] = (
        "default"
    )
    fullgraph: bool = False
    dynamic: bool | None = True


class PhaseConfig(Closed):
    """The first phase of a pretraining in two (Devlin et al., 2019, appendix A.2).

    Attributes:
        ratio: Its share of `max_steps`.
        max_seq_length: The longest sample in it.
        micro_batch_size: The most samples of one forward pass in it.
    """

    ratio: float = Field(gt=0, lt=1)
    max_seq_length: int = Field(ge=8)
    micro_batch_size: PositiveInt


class DivergenceConfig(Closed):
    """What counts as a diverging step, and what is done about it.

    Attributes:
        action: `stop` ends the run before the step changes a weight. `rollback` takes weights and
            optimizer back to the last checkpoint and goes on with the data after the step, so that
            the window between the two is skipped.
        max_loss: A step whose loss is larger diverges; null for no limit. A loss that is not a
            finite number always does.
        max_grad_norm: A step whose gradient norm is larger diverges; null for no limit.
        max_rollbacks: How many rollbacks a run may take before it stops all the same.
    """

    action: Literal["stop", "rollback"] = "stop"
    max_loss: float | None = Field(None, gt=0)
    max_grad_norm: float | None = Field(None, gt=0)
    max_rollbacks: int = Field(3, ge=0)


class FineTuningConfig(Closed):
    """How a pretrained encoder is treated; by default as in the paper, all of it learns alike.

    Attributes:
        layerwise_lr_decay: The learning rate of each block over that of the block above it.
        freeze_encoder: Whether the heads alone learn.
        reinit_layers: How many of the top blocks begin with weights drawn anew.
        reinit_pooler: Whether the pooler does.
    """

    layerwise_lr_decay: float = Field(1.0, gt=0, le=1)
    freeze_encoder: bool = False
    reinit_layers: int = Field(0, ge=0)
    reinit_pooler: bool = False


class TrainConfig(Closed):
    """The whole configuration of a training run.

    Attributes:
        name: The run's name, and its folder in `runs_dir`.
        runs_dir: Where runs have their folders.
        seed: What every random choice depends on.
        max_steps: The length of training in optimizer steps; or `max_epochs`.
        max_epochs: The length of training in passes over the data; or `max_steps`.
        global_batch_size: Samples of an optimizer step, over all processes.
        micro_batch_size: The most samples of one forward pass; accumulation follows from it.
        validate_every_n_steps: Optimizer steps between validations; null for one at the end.
        resume: `auto` goes on from the newest whole checkpoint of the run's folder, or starts where
            there is none; a path goes on from that checkpoint; null refuses an existing folder.
        compile: How torch compiles the encoder, which takes a minute or so at the start.
        activation_checkpointing: Whether backward computes the inside of blocks anew: less memory,
            a third more work.
        divergence: What is done about a loss that is not a number, or too large.
        fine_tuning: How a pretrained encoder is treated.
        encoder: The encoder's sizes, or the checkpoint that it comes from.
        task: What is learnt.
        data: What it is learnt from.
        optimizer: How weights change.
        schedule: How the learning rate does.
        trainer: On what it runs.
        logger: Where metrics go, by name; null turns one off.
        callbacks: What else happens in training, by name; null turns one off.
    """

    name: str = Field(min_length=1, pattern=r"^[^/\s][^\s]*$")
    runs_dir: Path = Path("runs")
    seed: int = Field(0, ge=0)
    max_steps: PositiveInt | None = None
    max_epochs: float | None = Field(None, gt=0)
    global_batch_size: PositiveInt
    micro_batch_size: PositiveInt
    validate_every_n_steps: PositiveInt | None = None
    resume: str | None = None
    compile: CompileConfig = CompileConfig()
    activation_checkpointing: bool = False
    divergence: DivergenceConfig = DivergenceConfig()
    fine_tuning: FineTuningConfig = FineTuningConfig()
    encoder: EncoderConfig
    task: Component
    data: Component
    optimizer: OptimizerConfig
    schedule: SerializeAsAny[ScheduleConfig]
    trainer: TrainerConfig
    logger: dict[str, Component | None] = {}
    callbacks: dict[str, Component | None] = {}

    @field_validator("name")
    @classmethod
    def _a_folder_can_have_the_name(cls, name: str) -> str:
        for part in name.split("/"):
            size = len(part.encode(errors="surrogatepass"))
            if size > LONGEST_NAME:
                raise ValueError(
                    f"{part[:20]}… has {size} bytes, where a folder's name may have {LONGEST_NAME}"
                )
        # Control characters and halves of surrogate pairs.
        if not all(character.isprintable() for character in name):
            raise ValueError(f"{name!a} has a character that cannot be printed")
        return name

    @field_validator("logger", "callbacks", mode="before")
    @classmethod
    def _null_is_none_of_them(cls, value: Any) -> Any:
        return {} if value is None else value

    @field_validator("schedule", mode="before")
    @classmethod
    def _a_schedule_may_be_the_users(cls, value: Any) -> Any:
        if not isinstance(value, dict) or "_target_" not in value:
            return value
        if value["_target_"] == OWN_SCHEDULE:
            return {key: kept for key, kept in value.items() if key != "_target_"}
        return UserScheduleConfig.model_validate(value)

    @field_validator("compile", mode="before")
    @classmethod
    def _compile_is_a_group(cls, value: Any) -> Any:
        if isinstance(value, bool):
            raise ValueError(f"{str(value).lower()}: it should be {COMPILE_CHOICES}")
        return value

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if (self.max_steps is None) == (self.max_epochs is None):
            raise ValueError(
                f"max_steps={as_yaml(self.max_steps)} and max_epochs={as_yaml(self.max_epochs)}: "
                "exactly one of them is needed, and null for the other"
            )
        return self

    @model_validator(mode="after")
    def _one_interval_of_validation(self) -> Self:
        interval = self.trainer.val_check_interval
        if self.validate_every_n_steps is not None and interval is not None:
            raise ValueError(
                f"validate_every_n_steps={self.validate_every_n_steps} and "
                f"trainer.val_check_interval={as_yaml(interval)}: give one of them"
            )
        return self

    @model_validator(mode="after")
    def _the_task_can_learn_from_the_data(self) -> Self:
        problem = mismatch(self.task.target, self.data.target)
        if problem is not None:
            raise ValueError(problem)
        return self

    @model_validator(mode="after")
    def _sequences_fit_the_encoder(self) -> Self:
        longest = (self.data.model_extra or {}).get("max_seq_length")
        if isinstance(longest, int) and self.encoder.pretrained is None:
            positions = self.encoder.max_position_embeddings
            if longest > positions:
                raise ValueError(
                    f"data.max_seq_length={longest} is more than "
                    f"encoder.max_position_embeddings={positions}"
                )
        return self

    @property
    def run_dir(self) -> Path:
        """The run's folder."""
        return self.runs_dir / self.name
