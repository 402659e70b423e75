"""Fewer validation batches than processes: a process without one still joins every collective."""

import json
from pathlib import Path

import pytest

from tests.programs.commands import QUIET, TINY, run_ranks
from tests.programs.task_files import write_task

pytestmark = pytest.mark.slow

SECONDS = 120
"""Many times what such a run takes; a run that hangs fails the test then."""

TASKS = ("pretraining", "classification")


def data_of(task: str, folder: Path, corpus: Path) -> list[str]:
    """Gives the overrides of a task whose validation split is one batch."""
    if task == "pretraining":
        return [f"data.path={corpus}"]
    return [
        *(f"task={task}", f"data={task}", f"data.tokenizer={corpus / 'tokenizer.json'}"),
        f"data.train={write_task(folder, task, 40, seed=1)}",
        f"data.validation={write_task(folder, task, 1, seed=2)}",
    ]


@pytest.mark.parametrize("task", TASKS)
def test_one_validation_batch_on_two_processes(task: str, corpus: Path, tmp_path: Path) -> None:
    ended = run_ranks(
        *("train", "name=run", "trainer=ddp_cpu", *TINY, *QUIET),
        *data_of(task, tmp_path, corpus),
        *("max_steps=4", "validate_every_n_steps=2"),
        # A validation batch has all rows; a training batch has 8 on each process.
        *("global_batch_size=16", "micro_batch_size=1000"),
        cwd=tmp_path,
        seconds=SECONDS,
    )
    assert [each.returncode for each in ended] == [0, 0], ended[0].stderr + ended[1].stderr
    results = json.loads((tmp_path / "runs" / "run" / "results.json").read_text())
    assert results["step"] == 4
    assert "validation/loss" in results


def test_a_small_share_of_the_validation_is_one_batch_on_all_processes(
    corpus: Path, tmp_path: Path
) -> None:
    """Of 3 batches, one process has two and the other one: half of that is one and none."""
    ended = run_ranks(
        *("train", "name=run", "trainer=ddp_cpu", *TINY, *QUIET),
        *("task=classification", "data=classification"),
        f"data.tokenizer={corpus / 'tokenizer.json'}",
        f"data.train={write_task(tmp_path, 'classification', 40, seed=1)}",
        f"data.validation={write_task(tmp_path, 'classification', 12, seed=2)}",
        *("max_steps=2", "validate_every_n_steps=1", "trainer.limit_val_batches=0.5"),
        *("global_batch_size=8", "micro_batch_size=4"),
        cwd=tmp_path,
        seconds=SECONDS,
    )
    assert [each.returncode for each in ended] == [0, 0], ended[0].stderr + ended[1].stderr
    results = json.loads((tmp_path / "runs" / "run" / "results.json").read_text())
    assert "validation/loss" in results
