"""Finds the checkpoint to resume from, and checks that it matches the configuration."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from clozekit.config.changes import Effect, effect_of
from clozekit.config.length import LENGTHS
from clozekit.config.values import as_yaml, flat
from clozekit.errors import ConfigError, DataError, UnreadableError
from clozekit.files import copy_atomically
from clozekit.output.display import warn
from clozekit.runs.checkpoint_file import Checkpoint, load_checkpoint
from clozekit.storage.urls import is_url

NEEDED = frozenset({"loops", "optimizer_states", "lr_schedulers"})
"""The parts of a checkpoint that only a resume needs."""

MAY_DIFFER_FROM_PARENT = (
    "a run that begins at another's checkpoint may differ from it in the length, the schedule, the "
    "name, callbacks, loggers, validations, micro-batches and devices"
)

MAY_DIFFER = (Effect.COURSE, Effect.MANNER, Effect.NAME)


def checkpoint_to_resume(resume: str | None, folder: Path) -> Checkpoint | None:
    """Loads the checkpoint that `resume` selects.

    Args:
        resume: None for no resume; `auto` for the newest complete checkpoint in the run's folder,
            if any; else the path of a checkpoint or a run's folder.
        folder: The run's folder.

    Raises:
        DataError: A named checkpoint cannot be read, or none of those that `auto` finds.
    """
    if resume is None:
        return None
    if is_url(resume):
        raise ConfigError(
            f"resume={resume} is a URL; to continue a run from its copy in a store, set "
            "resume=auto callbacks.checkpoints.mirror=URL"
        )
    if resume != "auto":
        return _newest(Path(resume)) if Path(resume).is_dir() else _resumable(Path(resume))
    files = list((folder / "checkpoints").glob("*.ckpt"))
    if not files:
        return None
    try:
        return _newest(folder)
    except UnreadableError:
        raise
    except DataError as error:
        # Starting from step 0 would write over them.
        raise DataError(
            f"resume=auto: {error}; remove its {files[0].name if len(files) == 1 else '*.ckpt'} to "
            "start from step 0"
        ) from error


def check_agreement(
    checkpoint: Checkpoint,
    config: dict[str, Any],
    tokenizer_json: str,
    data_hash: str | None,
    is_of_parent: bool = False,
) -> None:
    """Checks that a checkpoint's configuration and data match those of the resumed run.

    Args:
        checkpoint: The checkpoint.
        config: The configuration of the run that continues from it.
        tokenizer_json: The tokenizer of its data.
        data_hash: The hash of its data.
        is_of_parent: Whether the checkpoint is of another run, named by `from_run`. Then the
            schedule and the length may differ too, and all other keys may not.

    Raises:
        ConfigError: The tokenizer, the data, the encoder, the global batch or another key that the
            stream depends on differs; the message has the difference.
    """
    where = f"{'from_run' if is_of_parent else 'resume'}: {checkpoint.path} was trained with"
    saved, given = flat(checkpoint.config), flat(config)
    if checkpoint.tokenizer_json != tokenizer_json:
        raise ConfigError(f"{where} another tokenizer")
    if checkpoint.data_hash != data_hash:
        raise ConfigError(f"{where} {_difference_of_data(checkpoint, saved, given, data_hash)}")
    _check_keys(where, saved, given, is_of_parent)
    if not is_of_parent:
        _warn_of_length(where, saved, given)


def _difference_of_data(
    checkpoint: Checkpoint,
    saved: Mapping[str, Any],
    given: Mapping[str, Any],
    data_hash: str | None,
) -> str:
    """Describes why the data is another one: by a key that it depends on, or else by its hash."""
    for key in sorted(saved.keys() | given.keys(), key=lambda key: (key.count("."), key)):
        is_of_data = key == "seed" or (effect_of(key) is Effect.LEARNT and key.startswith("data."))
        # One corpus or a mixture; a corpus may have moved.
        is_of_data |= key == "data.path" and (key in saved) != (key in given)
        if is_of_data and saved.get(key) != given.get(key):
            return _difference(key, saved, given)
    return f"other data (hash {checkpoint.data_hash}, but the configured data has {data_hash})"


def _check_keys(
    where: str, saved: Mapping[str, Any], given: Mapping[str, Any], is_of_parent: bool
) -> None:
    """Refuses keys that must not change, and warns of those that may."""
    # Report keys of the run before the derived keys of its parts.
    keys = sorted(saved.keys() | given.keys())
    for key in sorted(keys, key=lambda key: effect_of(key) is not Effect.STREAM):
        effect = effect_of(key)
        if saved.get(key) == given.get(key) or effect in MAY_DIFFER:
            continue
        difference = _difference(key, saved, given)
        if is_of_parent:
            if key.startswith("schedule."):
                continue
            raise ConfigError(f"{where} {difference}; {MAY_DIFFER_FROM_PARENT}")
        if effect is not None:
            raise ConfigError(f"{where} {difference}")
        warn(f"{where} {difference}, which is used from now on")


def _warn_of_length(where: str, saved: Mapping[str, Any], given: Mapping[str, Any]) -> None:
    for key in LENGTHS:
        if saved.get(key) != given.get(key):
            warn(
                f"{where} {_difference(key, saved, given)}; the learning-rate schedule uses the "
                "new length"
            )


def _difference(key: str, saved: Mapping[str, Any], given: Mapping[str, Any]) -> str:
    ours, theirs = _key_in(given, key), _key_in(saved, key)
    now = as_yaml(given.get(ours)) if ours == theirs else f"{ours}={as_yaml(given.get(ours))}"
    return f"{theirs}={as_yaml(saved.get(theirs))}, but the configuration has {now}"


def _key_in(values: Mapping[str, Any], key: str) -> str:
    """Returns a key, or the key around it or the first one inside it that has a value instead."""
    around = key
    while around and around not in values:
        around = around.rpartition(".")[0]
    inside = (each for each in sorted(values) if each.startswith(f"{key}."))
    return around or next(inside, key)


def adopt(checkpoint: Checkpoint, folder: Path) -> None:
    """Copies the checkpoint that a run resumes from to the run's `last.ckpt`, if there is none.

    So the next `resume=auto` or a rollback finds it until the run has saved its own. Checkpoints of
    later steps would be inconsistent with the resumed run, and are renamed to `.later`.

    Args:
        checkpoint: The checkpoint that the run resumes from.
        folder: The folder of the run's checkpoints.
    """
    aside = []
    for path in sorted(folder.glob("*.ckpt")):
        try:
            step = load_checkpoint(path).step
        except DataError:
            continue
        if step > checkpoint.step:
            os.replace(path, path.with_name(f"{path.name}.later"))
            aside.append(f"{path.name} (step {step})")
    if aside:
        warn(
            f"resume: the run goes back to step {checkpoint.step}; later checkpoints are renamed "
            f"to .later: {', '.join(aside)}"
        )
    last = folder / "last.ckpt"
    if not last.exists():
        folder.mkdir(parents=True, exist_ok=True)
        copy_atomically(checkpoint.path, last)


def check_weights(checkpoint: Checkpoint, weights: Mapping[str, Tensor]) -> None:
    """Checks that a checkpoint has the weights of the run that resumes from it.

    Args:
        checkpoint: The checkpoint.
        weights: The weights of the run's module.

    Raises:
        DataError: A weight is missing, is unknown, or has another shape.
    """
    for name in sorted(checkpoint.state_dict.keys() | weights.keys()):
        saved, made = (
            list(of[name].shape) if name in of else None for of in (checkpoint.state_dict, weights)
        )
        if saved != made:
            raise DataError(
                f"resume: {checkpoint.path} has the shape {as_yaml(saved)} for {name}, but the run "
                f"has {as_yaml(made)}"
            )


def _resumable(path: Path) -> Checkpoint:
    """Loads a checkpoint that has everything that training needs to continue."""
    checkpoint = load_checkpoint(path)
    if missing := sorted(NEEDED - checkpoint.parts):
        raise DataError(f"{checkpoint.path} cannot be resumed: it has no {', '.join(missing)}")
    return checkpoint


def all_resumable(folder: Path) -> list[Checkpoint]:
    """Loads the checkpoints of a run that training can continue from; warns about damaged ones.

    Raises:
        UnreadableError: One of them may be whole, but cannot be read.
    """
    found: list[Checkpoint] = []
    for path in sorted((folder / "checkpoints").glob("*.ckpt")):
        try:
            found.append(_resumable(path))
        except UnreadableError:
            raise
        except DataError as error:
            warn(f"skipped: {error}")
    return found


def _newest(folder: Path) -> Checkpoint:
    """Loads the complete checkpoint with the most steps."""
    found = all_resumable(folder)
    if not found:
        raise DataError(f"{folder / 'checkpoints'} has no complete checkpoint")
    # Of several checkpoints of a step, `last` is the newest.
    return max(found, key=lambda checkpoint: (checkpoint.step, checkpoint.path.stem == "last"))
