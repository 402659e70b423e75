"""Runs in the test's process that an `Observer` looks at."""

from pathlib import Path
from typing import Any

import torch

from clozekit.runs.checkpoint_file import load_checkpoint
from clozekit.train import train
from tests.programs.commands import QUIET, TINY, read_rows, train_config
from tests.programs.observer import events


class Run:
    """A run in this process.

    Args:
        corpus: The prepared corpus.
        folder: Where runs lie.
    """

    def __init__(self, corpus: Path, folder: Path) -> None:
        self.corpus = corpus
        self.folder = folder

    def __call__(self, name: str, *overrides: str) -> Path:
        settings = {
            "max_steps": "6",
            "global_batch_size": "8",
            "micro_batch_size": "4",
            "validate_every_n_steps": "3",
            "trainer.limit_val_batches": "2",
            "trainer.log_every_n_steps": "1",
        }
        given = {override.split("=")[0] for override in overrides}
        train(
            train_config(
                f"name={name}",
                f"data.path={self.corpus}",
                f"runs_dir={self.folder}",
                *TINY,
                *QUIET,
                *(f"{key}={value}" for key, value in settings.items() if key not in given),
                "+callbacks.observer._target_=tests.programs.observer.Observer",
                f"+callbacks.observer.file={self.events_file(name)}",
                *overrides,
            )
        )
        return self.folder / name

    def events_file(self, name: str) -> Path:
        return self.folder / f"{name}.jsonl"

    def events(self, name: str, kind: str) -> list[dict[str, Any]]:
        return events(self.events_file(name), kind)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_checkpoint(folder / "checkpoints" / "last.ckpt").state_dict


def assert_equal_weights(one: Path, other: Path) -> None:
    ours, theirs = weights(one), weights(other)
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        assert torch.equal(tensor, theirs[name]), name


def steps(folder: Path, column: str = "train/loss") -> list[int]:
    return [int(row["step"]) for row in read_rows(folder / "metrics.csv") if row[column]]
