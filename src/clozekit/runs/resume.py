"""Which checkpoint a run goes on from, and whether it may."""

import os
import warnings
from pathlib import Path
from typing import Any

from clozekit.config.changes import Effect, effect_of
from clozekit.config.values import as_yaml, flat
from clozekit.errors import ConfigError, DataError
from clozekit.files import copy_atomically
from clozekit.runs.checkpoint_file import Checkpoint, load_checkpoint

MAY_DIFFER = (Effect.COURSE, Effect.MANNER, Effect.NAME)


def checkpoint_to_resume(resume: str | None, folder: Path) -> Checkpoint | None:
    """Finds the checkpoint that `resume` means.

    Args:
        resume: None for none; `auto` for the newest whole one of the run's folder, if there is one;
            else a checkpoint or a run's folder.
        folder: The run's folder.

    Raises:
        DataError: A named checkpoint cannot be read.
    """
    if resume is None:
        return None
    if resume != "auto":
        return _newest(Path(resume)) if Path(resume).is_dir() else load_checkpoint(resume)
    try:
        return _newest(folder)
    except DataError:
        return None


def check_agreement(
    checkpoint: Checkpoint, config: dict[str, Any], tokenizer_json: str, data_hash: str | None
) -> None:
    """Compares what a checkpoint was trained with to what it would go on with.

    Raises:
        ConfigError: The tokenizer, the data, the encoder, the global batch or another key that the
            stream depends on differs; it names the difference.
    """
    where = f"resume: {checkpoint.path} was trained with"
    if checkpoint.tokenizer_json != tokenizer_json:
        raise ConfigError(f"{where} another tokenizer")
    if checkpoint.data_hash != data_hash:
        raise ConfigError(
            f"{where} other data (hash {checkpoint.data_hash}, the configuration's {data_hash})"
        )
    saved, given = flat(checkpoint.config), flat(config)
    # The run's own keys come before those that repeat them.
    keys = sorted(saved.keys() | given.keys())
    for key in sorted(keys, key=lambda key: effect_of(key) is not Effect.STREAM):
        effect = effect_of(key)
        if saved.get(key) == given.get(key) or effect in MAY_DIFFER:
            continue
        difference = (
            f"{key}={as_yaml(saved.get(key))}, the configuration has {as_yaml(given.get(key))}"
        )
        if effect is not None:
            raise ConfigError(f"{where} {difference}")
        warnings.warn(f"{where} {difference}, which holds from now on", stacklevel=2)
    for key in ("max_steps", "max_epochs"):
        if saved.get(key) != given.get(key):
            warnings.warn(
                f"{where} {key}={as_yaml(saved.get(key))}, now it is {as_yaml(given.get(key))}; "
                "the learning rate follows the new length from here on",
                stacklevel=2,
            )


def adopt(checkpoint: Checkpoint, folder: Path) -> None:
    """Makes a checkpoint that was named the last one of the run that goes on from it.

    So the next `resume=auto` finds it, and a rollback goes to it, until the run has saved one of
    its own. Checkpoints of later steps, of the course that the run leaves, are renamed `.later`.

    Args:
        checkpoint: What the run goes on from.
        folder: The folder of the run's own checkpoints.
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
        warnings.warn(
            f"resume: the run goes back to step {checkpoint.step}; set aside as .later are "
            f"{', '.join(aside)}",
            stacklevel=2,
        )
    last = folder / "last.ckpt"
    if not last.exists():
        folder.mkdir(parents=True, exist_ok=True)
        copy_atomically(checkpoint.path, last)


def _newest(folder: Path) -> Checkpoint:
    """Reads the checkpoint of the most steps that is whole; says which ones are not."""
    found: list[Checkpoint] = []
    for path in sorted((folder / "checkpoints").glob("*.ckpt")):
        try:
            found.append(load_checkpoint(path))
        except DataError as error:
            warnings.warn(f"passed over: {error}", stacklevel=2)
    if not found:
        raise DataError(f"{folder}: there is no whole checkpoint in its folder checkpoints/")
    # Of one step's, `last` is the newest.
    return max(found, key=lambda checkpoint: (checkpoint.step, checkpoint.path.stem == "last"))
