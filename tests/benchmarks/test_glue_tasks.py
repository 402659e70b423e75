"""The suite of GLUE's tasks, trained for real."""

from pathlib import Path
from typing import Any

import pytest

from tests.benchmarks.fakes import Benchmarks


def test_tasks_of_glue_are_trained_on_local_files_of_its_schema(
    benchmarks: Benchmarks, hub: Path
) -> None:
    data = f"data.path={hub / 'nyu-mll' / 'glue'}"
    more = "data.max_seq_length=48,global_batch_size=4,micro_batch_size=4,data.num_workers=0"
    quiet = "logger.wandb=null,callbacks.progress=null"
    arguments = (
        *("checkpoint=first", "suite=glue_from_mnli", "suite.rates=[1e-3]", "suite.epochs=1"),
        f"overrides=[{data},{more},{quiet}]",
    )
    assert benchmarks.run(*arguments) == 0
    results: dict[str, Any] = benchmarks.results("benchmark-glue_from_mnli-first")
    (first,) = results["checkpoints"]
    assert {task["task"]: task["metric"].partition("/")[2] for task in first["tasks"]} == {
        "cola": "matthews_correlation",
        "stsb": "spearman",
        **dict.fromkeys(("mrpc", "qqp"), "f1"),
        **dict.fromkeys(("sst2", "mnli", "qnli", "rte", "wnli"), "accuracy"),
    }
    assert all(task["metric"].startswith("validation/") for task in first["tasks"])
    assert first["average"]["mean"] == pytest.approx(
        sum(task["mean"] for task in first["tasks"]) / 9
    )
    from_mnli = {
        job.name.split("__")[1]
        for job in benchmarks.executor.started
        if "__mnli__" in str(job.config.encoder.pretrained)
    }
    assert from_mnli == {"mrpc", "stsb", "rte"}
