"""The configuration of `clozekit train`: fixed keys, and components chosen by `_target_`."""

from pathlib import Path
from typing import Any, Self

from pydantic import (
    Field,
    SerializeAsAny,
    field_validator,
    model_validator,
)

from clozekit.config.checks.pairing import mismatch
from clozekit.config.encoder import EncoderConfig
from clozekit.config.groups import Closed, Component
from clozekit.config.length import LENGTHS, Duration, Tokens, check_length
from clozekit.config.paths import FilePath, PathText, checked_run_name, expanded
from clozekit.config.schedule import OWN_SCHEDULE, ScheduleConfig, UserScheduleConfig
from clozekit.config.stored.classes import TrustedModules
from clozekit.config.train_groups import (
    COMPILE_CHOICES,
    CompileConfig,
    DivergenceConfig,
    FineTuningConfig,
    OptimizerConfig,
)
from clozekit.config.trainer import TrainerConfig
from clozekit.config.values import LARGEST, Count, as_yaml

COMPONENT_PATHS = ("path", "train", "validation", "test", "tokenizer", "dirpath")
"""The keys of data and callbacks that are paths."""


class TrainConfig(Closed):
    """The configuration of a training run.

    Attributes:
        name: The run's name, and the name of its folder in `runs_dir`.
        runs_dir: The folder that contains the runs.
        seed: The seed of all random choices.
        max_steps: The length of training in optimizer steps. Exactly one of `max_steps`,
            `max_epochs`, `max_tokens` and `budget` is set.
        max_epochs: The length of training in passes over the data.
        max_tokens: The length of training in tokens, without padding, such as 1e9. The number of
            steps follows from the mean number of tokens per step in each phase.
        budget: The length of training in time, such as `90s`, `30m` or `1h30m`, with validations
            and checkpoints. A few steps are measured and undone; then the number of steps is fixed
            and written to the run as `max_steps`.
        global_batch_size: The number of samples per optimizer step, over all processes.
        micro_batch_size: The maximum number of samples per forward pass; gradient accumulation
            follows from it.
        validate_every_n_steps: The number of optimizer steps between validations; null to validate
            only at the end.
        resume: `auto` resumes from the newest complete checkpoint in the run's folder, or starts a
            new run if there is none; a path resumes from that checkpoint; null is an error if the
            run's folder exists.
        from_run: Another run's folder, from whose checkpoint this new run begins: weights,
            optimizer and position in the data. Length, schedule, name, callbacks, loggers and
            devices may differ from that run. If its schedule or length differ, the decay begins at
            `from_step`; it takes all further steps, or `schedule.decay_steps`. Keys that are not
            given are those of the command that trained that run.
        from_step: The step of that checkpoint; null for the last one.
        plan: Whether to only print what the run would take: steps, tokens, time, memory and disk.
            The time is measured on a few steps; nothing is written, except encoded rows of large
            files, which the run finds again.
        trusted_modules: Python modules whose encoder classes `encoder.pretrained` may use, such as
            `[my_encoders]`. All other classes are those of this configuration, also when a run is
            resumed.
        compile: How to compile the encoder with torch.compile, which takes about a minute at the
            start.
        activation_checkpointing: Whether to recompute activations in the backward pass, which saves
            memory for about a third more computation.
        divergence: What to do when the loss is not finite or too large.
        fine_tuning: How to fine-tune a pretrained encoder.
        encoder: The encoder's sizes, or the pretrained checkpoint to start from.
        task: The training objective.
        data: The training data.
        optimizer: The optimizer.
        schedule: The learning rate schedule.
        trainer: The hardware and the training loop.
        logger: Loggers by name; null disables one.
        callbacks: Callbacks by name; null disables one.
    """

    name: str = Field(min_length=1, pattern=r"^[^/\s][^\s]*$")
    runs_dir: FilePath = Path("runs")
    seed: int = Field(0, ge=0, le=2**32 - 1)
    max_steps: Count | None = None
    max_epochs: float | None = Field(None, gt=0, allow_inf_nan=False)
    max_tokens: Tokens | None = None
    budget: Duration | None = None
    global_batch_size: Count
    micro_batch_size: Count
    validate_every_n_steps: Count | None = None
    resume: PathText | None = None
    from_run: PathText | None = None
    from_step: int | None = Field(None, ge=0, le=LARGEST)
    plan: bool = False
    trusted_modules: TrustedModules = ()
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
    logger: dict[str, Component | None] = {}  # noqa: RUF012  pydantic copies defaults
    callbacks: dict[str, Component | None] = {}  # noqa: RUF012

    @field_validator("data", "callbacks", mode="before")
    @classmethod
    def _expand_home(cls, value: Any) -> Any:
        """Expands `~` in the paths of clozekit's own components."""
        if not isinstance(value, dict):
            return value
        if "_target_" not in value:
            return {name: cls._expand_home(component) for name, component in value.items()}
        return {
            key: _expanded(each) if key in COMPONENT_PATHS else each for key, each in value.items()
        }

    @field_validator("name")
    @classmethod
    def _check_name(cls, name: str) -> str:
        return checked_run_name(name)

    @field_validator("logger", "callbacks", mode="before")
    @classmethod
    def _null_to_empty(cls, value: Any) -> Any:
        return {} if value is None else value

    @field_validator("schedule", mode="before")
    @classmethod
    def _parse_schedule(cls, value: Any) -> Any:
        if not isinstance(value, dict) or "_target_" not in value:
            return value
        if value["_target_"] == OWN_SCHEDULE:
            return {key: kept for key, kept in value.items() if key != "_target_"}
        return UserScheduleConfig.model_validate(value)

    @field_validator("compile", mode="before")
    @classmethod
    def _check_compile(cls, value: Any) -> Any:
        if isinstance(value, bool):
            raise ValueError(f"{as_yaml(value)}: it should be {COMPILE_CHOICES}")
        return value

    @model_validator(mode="after")
    def _check_training_length(self) -> Self:
        check_length({key: getattr(self, key) for key in LENGTHS})
        return self

    @model_validator(mode="after")
    def _check_beginning(self) -> Self:
        if self.from_run is None and self.from_step is not None:
            raise ValueError(f"from_step={self.from_step} has no effect without from_run")
        if self.from_run is not None and self.resume not in (None, "auto"):
            raise ValueError(
                f"from_run={self.from_run} and resume={self.resume}: set only one of them; a run "
                "that began with from_run is continued with resume=auto"
            )
        return self

    @model_validator(mode="after")
    def _check_plan(self) -> Self:
        if self.plan and self.trainer.fast_dev_run:
            raise ValueError(
                "plan=true says what a run would take, and trainer.fast_dev_run tries one out: set "
                "only one of them"
            )
        return self

    @model_validator(mode="after")
    def _check_validation_interval(self) -> Self:
        interval = self.trainer.val_check_interval
        if self.validate_every_n_steps is not None and interval is not None:
            raise ValueError(
                f"validate_every_n_steps={self.validate_every_n_steps} and "
                f"trainer.val_check_interval={as_yaml(interval)}: set only one of them, and the "
                "other to null"
            )
        return self

    @model_validator(mode="after")
    def _check_task_and_data(self) -> Self:
        problem = mismatch(self.task.target, self.data.target)
        if problem is not None:
            raise ValueError(problem)
        return self

    @model_validator(mode="after")
    def _check_sequence_length(self) -> Self:
        if self.encoder.pretrained is not None:
            return self
        for key, longest in _lengths(self.data.model_extra or {}).items():
            if longest > self.encoder.longest_sequence:
                raise ValueError(
                    f"data.{key}={longest} is more than encoder.{self.encoder.limit_in_words}"
                )
        return self

    @property
    def run_dir(self) -> Path:
        """The run's folder."""
        return self.runs_dir / self.name


def _expanded(path: Any) -> Any:
    """Expands `~` in a path, or in the paths of a mixture of sources."""
    if isinstance(path, dict):
        return {
            str(name): {**source, "path": _expanded(source["path"])}
            if isinstance(source, dict) and "path" in source
            else source
            for name, source in path.items()
        }
    return expanded(path) if isinstance(path, str) else path


def _lengths(data: dict[str, Any]) -> dict[str, int]:
    """Returns the maximum length of the data and of each phase, by its key in the group."""
    phases = data.get("phases")
    groups = {
        "": data,
        "first_phase.": data.get("first_phase"),
        **{f"phases.{i}.": p for i, p in enumerate(phases if isinstance(phases, list) else ())},
    }
    found = {
        f"{prefix}max_seq_length": group.get("max_seq_length")
        for prefix, group in groups.items()
        if isinstance(group, dict)
    }
    return {key: length for key, length in found.items() if isinstance(length, int)}
