"""`clozekit merge`: averages the weights of checkpoints."""

import secrets
from pathlib import Path
from typing import Any

from torch import Tensor

from clozekit.config.merge import MergeConfig
from clozekit.config.paths import check_out
from clozekit.files import write_folder_atomically, write_text
from clozekit.output.display import say
from clozekit.runs.checkpoint_file import (
    FORMAT_VERSION,
    META_KEY,
    AtomicCheckpointIO,
    Checkpoint,
    load_checkpoint,
)
from clozekit.runs.folder import RunFolder
from clozekit.runs.merging import averaged, check_alike, check_reading, shares_of


def merge(config: MergeConfig) -> None:
    """Writes the mean of the weights of checkpoints to a new folder.

    Raises:
        ConfigError: The folder is not empty.
        DataError: A checkpoint cannot be read, or does not fit the others.
    """
    check_out(config.out)
    checkpoints = [load_checkpoint(path) for path in config.checkpoints]
    check_alike(checkpoints)
    check_reading(checkpoints)
    weights = config.weights or [1.0] * len(checkpoints)
    merged = averaged(checkpoints, weights)
    parts = [
        {
            "checkpoint": str(each.path),
            "run_id": each.run_id,
            "step": each.step,
            "weight": share,
        }
        for each, share in zip(checkpoints, shares_of(weights), strict=True)
    ]
    # Atomic, so that a half-written folder cannot be mistaken for a model.
    with write_folder_atomically(config.out) as unfinished:
        _write(unfinished, config.out, checkpoints, merged, parts)
    say(f"merged {len(checkpoints)} checkpoints to {config.out}")


def _write(
    folder: Path,
    out: Path,
    checkpoints: list[Checkpoint],
    weights: dict[str, Tensor],
    parts: list[dict[str, Any]],
) -> None:
    """Writes the folder of a run with a checkpoint of weights alone."""
    first, run = checkpoints[0], RunFolder(folder, secrets.token_hex(4))
    config = {**first.config, "name": out.name, "runs_dir": str(out.parent)}
    data_hashes = {each.data_hash for each in checkpoints}
    meta = {
        "format_version": FORMAT_VERSION,
        "config": config,
        "tokenizer": first.tokenizer_json,
        "data_hash": first.data_hash if len(data_hashes) == 1 else None,
        "task_arguments": first.task_arguments,
        "run_id": run.id,
    }
    content = {
        "global_step": max(each.step for each in checkpoints),
        "state_dict": weights,
        META_KEY: meta,
    }
    run.create(config, facts={"merged": parts})
    write_text(run.tokenizer_file, first.tokenizer_json)
    AtomicCheckpointIO().save_checkpoint(content, run.last_checkpoint)
