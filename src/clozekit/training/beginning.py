"""Where a run begins: anew, at its own last checkpoint, or at that of another run."""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from clozekit.config.encoder import EncoderConfig
from clozekit.config.length import LENGTHS
from clozekit.config.schedule import ScheduleConfig, UserScheduleConfig, restarted, too_long
from clozekit.config.train import TrainConfig
from clozekit.data.module import StreamDataModule
from clozekit.errors import ConfigError
from clozekit.interop.pretrained import Pretrained
from clozekit.interop.sentence_transformers import EMBEDDING, pooling_of
from clozekit.output.display import say, warn
from clozekit.runs.branch import checkpoint_of_parent, decay_from, parent_of
from clozekit.runs.checkpoint_file import Checkpoint
from clozekit.runs.folder import RunFolder, is_first_process
from clozekit.runs.load_pretrained import extend_pretrained, from_checkpoint, load_pretrained
from clozekit.runs.parent import Parent, recorded_parent
from clozekit.runs.resume import check_agreement, checkpoint_to_resume
from clozekit.training.assembly import encoder_config, make_datamodule, resolved
from clozekit.training.length import max_steps_of

BUDGET = "budget"
"""The key of `run.json` with the budget and the number of steps that was fixed for it."""


@dataclass(frozen=True)
class Beginning:
    """Where a run begins.

    Attributes:
        config: The run's configuration. A budget that was fixed before is replaced by its steps.
        checkpoint: The checkpoint that it continues from, if any.
        parent: The run named by `from_run`, if any.
        is_of_parent: Whether the checkpoint is the parent's.
        source: The parent's checkpoint, if the run has no record of its parent yet.
        facts: More entries of the run's record.
    """

    config: TrainConfig
    checkpoint: Checkpoint | None = None
    parent: Parent | None = None
    is_of_parent: bool = False
    source: Checkpoint | None = None
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def first_step(self) -> int:
        """The number of steps that are done."""
        return 0 if self.checkpoint is None else self.checkpoint.step

    @property
    def is_own(self) -> bool:
        """Whether the checkpoint is in the run's own folder."""
        is_of_this_run = self.config.resume == "auto" and not self.is_of_parent
        return self.checkpoint is not None and is_of_this_run

    def with_steps(self, max_steps: int) -> "Beginning":
        """Replaces the budget by the number of steps, which is recorded in the run."""
        fact = {BUDGET: {"budget": self.config.budget, "max_steps": max_steps}}
        config = self.config.model_copy(update={"max_steps": max_steps, "budget": None})
        return replace(self, config=config).with_facts(**fact)

    def with_facts(self, **facts: Any) -> "Beginning":
        """Adds entries to the run's record."""
        return replace(self, facts={**self.facts, **facts})


class Parts(NamedTuple):
    """What a run is made of, before its model.

    Attributes:
        config: The run's configuration, with the schedule that it follows.
        pretrained: The model that weights or the tokenizer are taken from, if any.
        datamodule: The data.
        encoder: The encoder's complete configuration.
        parent: The run named by `from_run`, if any, and where its decay begins.
    """

    config: TrainConfig
    pretrained: Pretrained | None
    datamodule: StreamDataModule
    encoder: EncoderConfig
    parent: Parent | None


def beginning_of(config: TrainConfig) -> Beginning:
    """Finds the checkpoint that a run begins from, and what is recorded of its first start.

    Raises:
        ConfigError: `from_run`, `from_step` or `budget` do not fit what there is.
        DataError: A checkpoint or the record cannot be read.
    """
    checkpoint = checkpoint_to_resume(config.resume, config.run_dir)
    begin = Beginning(config, checkpoint)
    if config.from_run is not None:
        begin = _from_parent(begin)
    folder = RunFolder(config.run_dir)
    record = folder.read_record() if config.resume == "auto" else None
    return begin if record is None else _with_recorded_budget(begin, record)


def _from_parent(begin: Beginning) -> Beginning:
    config = begin.config
    assert config.from_run is not None
    if Path(config.from_run).resolve() == config.run_dir.resolve():
        raise ConfigError(f"from_run={config.from_run} is the run itself; set another name")
    parent = recorded_parent(RunFolder(config.run_dir)) if config.resume == "auto" else None
    if parent is not None and config.from_step not in (None, parent.step):
        raise ConfigError(
            f"from_step={config.from_step}, but the run {config.run_dir} began at step "
            f"{parent.step} of {parent.run}"
        )
    checkpoint, source = begin.checkpoint, None
    if parent is None:
        source = checkpoint_of_parent(config.from_run, config.from_step)
        checkpoint = checkpoint or source
        parent = parent_of(source)
    elif checkpoint is None:
        checkpoint = checkpoint_of_parent(config.from_run, parent.step)
    # The run's own `last.ckpt` is a copy of the parent's until it saves its own.
    is_of_parent = checkpoint.run_id == parent.id
    config = config.model_copy(update={"from_step": parent.step})
    return replace(
        begin,
        config=config,
        checkpoint=checkpoint,
        parent=parent,
        is_of_parent=is_of_parent,
        source=source,
    )


def _with_recorded_budget(begin: Beginning, record: dict[str, Any]) -> Beginning:
    """Takes the number of steps that was fixed at the first start of a run with a budget."""
    budget, entry = begin.config.budget, record.get(BUDGET)
    if budget is None or not isinstance(entry, dict):
        return begin
    steps = entry.get("max_steps")
    if not isinstance(steps, int) or isinstance(steps, bool) or steps < 1:
        return begin
    if entry.get("budget") != budget:
        raise ConfigError(
            f"budget={budget}, but the run {begin.config.run_dir} was begun with "
            f"budget={entry.get('budget')}, for which max_steps={steps} was fixed; set max_steps "
            "to give it another length"
        )
    return begin.with_steps(steps)


def make_parts(begin: Beginning) -> Parts:
    """Makes the data and the encoder's configuration, and checks that the checkpoint fits them.

    Raises:
        UserError: The configuration or the data cannot be used, or differ from the checkpoint's.
    """
    config, resumed = begin.config, begin.checkpoint
    trusted = config.trusted_modules
    pretrained = None if resumed is None else from_checkpoint(resumed, trusted)
    if resumed is None and config.encoder.pretrained is not None:
        pretrained = load_pretrained(config.encoder.pretrained, trusted, needs_task_head=False)
    datamodule = make_datamodule(config, pretrained)
    datamodule.check_samples()
    if pretrained is not None and resumed is None:
        pretrained = extend_pretrained(pretrained, datamodule.tokenizer)
        _warn_of_other_pooling(config, pretrained)
    encoder = encoder_config(config.encoder, datamodule, pretrained)
    parent = begin.parent
    if parent is not None and config.budget is None:
        max_steps = max_steps_of(config, datamodule)
        if begin.source is not None:
            of_parent = _steps_of(begin.source, config, datamodule)
            step = decay_from(begin.source, config.schedule, max_steps, of_parent)
            parent = replace(parent, decay_from=step)
        config = _with_schedule(config, parent, max_steps)
        if begin.is_of_parent:
            _warn_of_earlier_phase(begin, datamodule, max_steps)
    if resumed is not None:
        tokenizer, given = datamodule.tokenizer.to_str(), resolved(config, encoder)
        check_agreement(resumed, given, tokenizer, datamodule.data_hash, begin.is_of_parent)
    return Parts(config, pretrained, datamodule, encoder, parent)


def _steps_of(
    checkpoint: Checkpoint, config: TrainConfig, datamodule: StreamDataModule
) -> int | None:
    """Returns the last step of the run of a checkpoint, which has the same data; None if unknown.

    Args:
        checkpoint: The checkpoint.
        config: The configuration of a run that begins at it.
        datamodule: The data.
    """
    lengths = {key: checkpoint.config.get(key) for key in LENGTHS}
    given = [value for value in lengths.values() if value is not None]
    if len(given) != 1 or not isinstance(given[0], int | float) or given[0] <= 0:
        return None
    return max_steps_of(config.model_copy(update=lengths), datamodule)


def _warn_of_other_pooling(config: TrainConfig, pretrained: Pretrained) -> None:
    """Warns if vectors are trained with another pooling than those that the model made before."""
    if config.task.target != EMBEDDING:
        return
    pooling = config.task.arguments().get("pooling")
    before = pooling_of(pretrained)
    if before not in (None, pooling) and is_first_process():
        warn(
            f"task.pooling={pooling}, but {pretrained.path} makes its vectors with {before}; set "
            f"task.pooling={before} to go on from them",
        )


def _warn_of_earlier_phase(begin: Beginning, datamodule: StreamDataModule, max_steps: int) -> None:
    """Warns if a run of another length goes back to a phase that its parent had finished."""
    assert begin.checkpoint is not None and begin.parent is not None
    step = begin.parent.step
    of_parent = _steps_of(begin.checkpoint, begin.config, datamodule)
    if of_parent is None:
        return
    before = datamodule.phase_at(step - 1, of_parent)
    next_one = datamodule.phase_at(step, max_steps)
    if next_one < before:
        warn(
            f"phases are shares of the whole length: {begin.parent.run} ended step {step} in phase "
            f"{before} of {of_parent} steps, but step {step + 1} of {max_steps} is in phase "
            f"{next_one} again",
        )


def tell_of_schedule(begin: Beginning, max_steps: int) -> None:
    """Says where the decay of a run from another one begins, or warns of a run that is too short.

    Args:
        begin: Where the run begins, with the schedule that it follows.
        max_steps: Its last step.
    """
    schedule, parent = begin.config.schedule, begin.parent
    if not is_first_process():
        return
    if parent is None:
        problem = too_long(schedule, max_steps)
        if problem is not None:
            warn(problem)
    elif begin.is_of_parent and parent.decay_from == parent.step and _decays(schedule):
        say(f"the decay begins at step {schedule.first_decay_step(max_steps)}")


def _decays(schedule: ScheduleConfig) -> bool:
    """Whether it is known to decay; of a custom schedule nothing is."""
    return not isinstance(schedule, UserScheduleConfig) and schedule.decay != "constant"


def _with_schedule(config: TrainConfig, parent: Parent, max_steps: int) -> TrainConfig:
    """Lets the decay begin where the parent says, if it is not that of the given schedule."""
    if max_steps <= parent.step:
        raise ConfigError(
            f"the run ends at step {max_steps}, but begins at step {parent.step} of {parent.run}; "
            "the length of training counts from step 0 of that run"
        )
    if parent.decay_from is None:
        return config
    try:
        schedule = restarted(config.schedule, parent.decay_from, max_steps)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    return config.model_copy(update={"schedule": schedule})
