"""Runs that were never trained: their folders hold what a run of that configuration leaves."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest.mock import patch

from clozekit.files import write_json
from clozekit.runs.folder import RunFolder
from clozekit.sweeps.job import Job, Status
from clozekit.sweeps.record import SweepRecord
from tests.programs.commands import train_config

LOSS, ACCURACY = "validation/loss", "validation/accuracy"
FIXED = ("data.path=corpus", "max_steps=10")


def make_run(
    path: Path,
    *overrides: str,
    results: Mapping[str, float] | None = None,
    monitor: tuple[str, str] = (LOSS, "min"),
    config: Mapping[str, Any] | None = None,
    facts: dict[str, Any] | None = None,
) -> Path:
    """Makes a run's folder; without results it has not finished."""
    values = config or _config(*overrides)
    name = f"name={path.parent.name}/{path.name}"
    with patch.object(sys, "argv", ["__main__.py", "train", *FIXED, *overrides, name]):
        RunFolder(path).create(dict(values), monitor, facts)
    history = [f"{step},{1 / step},\n{step},,{2 / step}\n" for step in (5, 10)]
    (path / "metrics.csv").write_text(f"step,train/loss,{monitor[0]}\n{''.join(history)}")
    if results is not None:
        write_json(path / "results.json", {"step": 10, **results})
    return path


def _config(*overrides: str) -> dict[str, Any]:
    """Sets what the overrides say, without composing."""
    values: dict[str, Any] = {
        "seed": 0,
        "optimizer": {"lr": 0.001, "weight_decay": 0.01},
        "schedule": {"decay": "linear"},
        "data": {"seed": 0},
        "micro_batch_size": 32,
    }
    for override in overrides:
        key, _, text = override.partition("=")
        group, _, last = key.rpartition(".")
        node = values.setdefault(group, {}) if group else values
        if not isinstance(node.get(last), dict):
            node[last] = json.loads(text) if text[0].isdigit() else text
    values["data"]["seed"] = values["seed"]  # what an interpolation repeats
    return values


def make_record(folder: Path, statuses: Mapping[str, Status], command: str = "") -> SweepRecord:
    """Writes a sweep's record; a job's name says its overrides."""
    record = SweepRecord(folder.name, folder, command or "clozekit train -m", [], [])
    config = train_config("name=mine", *FIXED)
    for name, status in statuses.items():
        own = tuple(part.replace("-", "=", 1) for part in name.split("__"))
        job = Job(name, own, ("train", *own), config)
        record.add([job])
        if status == Status.RUNNING:
            record.started(job)
        elif status != Status.WAITING:
            record.ended(job, status, 0, 1.0)
    return record
