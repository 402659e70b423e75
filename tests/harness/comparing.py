"""Compares two runs of one configuration."""

import csv
import json
from pathlib import Path
from typing import Any

import torch

from tests.harness.killing import read_records

TIMING = (
    "train/tokens_per_second",
    "train/flops_per_second",
    "train/mfu",
    "train/checkpoint_seconds",
    "train/checkpoint_share",
)
"""Columns of the history that depend on the speed of a run."""


def differences(run: Path, reference: Path) -> list[str]:
    """Lists the parts of a run that are not bit for bit equal to the reference.

    Args:
        run: The folder with the run's folder and its records.
        reference: The same folder of the run that was not killed.
    """
    found = []
    expected_records = dict(read_records(reference))
    records = list(read_records(run))
    if {key for key, _ in records} != expected_records.keys():
        found.append("steps taken")
    found += [
        part
        for part in ("samples", "loss")
        if any(
            record[part] != expected_records[key][part]
            for key, record in records
            if key in expected_records
        )
    ]
    if history(run / "run" / "metrics.csv") != history(reference / "run" / "metrics.csv"):
        found.append("history")
    if _results(run) != _results(reference):
        found.append("results")
    files, expected_files = _files(run / "run"), _files(reference / "run")
    if files != expected_files:
        found.append(f"files {sorted(files ^ expected_files)}")
    for name in sorted(file for file in files & expected_files if file.endswith(".ckpt")):
        content, expected = (_checkpoint(folder / "run" / name) for folder in (run, reference))
        found += [
            f"{name}: {part}" for part in expected if not same(content.get(part), expected[part])
        ]
    return found


def history(file: Path) -> list[dict[str, str]]:
    """Reads the rows of a history without the timing columns."""
    with file.open(newline="") as opened:
        return [
            {name: value for name, value in row.items() if name not in TIMING}
            for row in csv.DictReader(opened)
        ]


def same(one: Any, other: Any) -> bool:
    """Whether two nested containers have the same values; tensors are compared bit for bit."""
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return one.dtype == other.dtype and torch.equal(_bits(one), _bits(other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return type(one) is type(other) and bool(one == other or (one != one and other != other))


def _bits(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.contiguous().view(torch.uint8) if tensor.ndim else tensor[None].view(torch.uint8)


def _results(folder: Path) -> Any:
    return json.loads((folder / "run" / "results.json").read_text())


def _files(folder: Path) -> set[str]:
    """Lists the files of a run's folder by path. A kill must leave no other files behind."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def _checkpoint(file: Path) -> dict[str, Any]:
    """Loads the parts of a checkpoint that have to be equal.

    The configuration is left out because it has the folders and the `Killer` of the run.
    Lightning's loops and epoch are left out because they count within a process and are not
    restored.
    """
    content: dict[str, Any] = torch.load(file, weights_only=True)
    for part in ("clozekit", "loops", "epoch"):
        content.pop(part, None)
    return content
