"""Collects the runs to `results.json`; `tables.py` writes the tables of `README.md`.

python experiments/finetune_tasks/report.py
"""

import json
import math
import os
import platform
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch
import transformers
from baselines import baselines
from reference import configuration, pieces
from run import SECONDS, Job

from tasks import PRETRAINED, RUNS, SCRATCH, TASKS, TRANSFORMERS, Task

HERE = Path(__file__).resolve().parent
VARIANTS = (PRETRAINED, TRANSFORMERS, SCRATCH)


def main() -> None:
    results = {"machine": machine(), "tasks": [result_of(task) for task in TASKS]}
    (HERE / "results.json").write_text(json.dumps(results, indent=2) + "\n")
    print("python -m experiments.finetune_tasks.tables writes the tables of README.md")


def machine() -> str:
    return (
        f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, Python "
        f"{platform.python_version()}, torch {torch.__version__}, transformers "
        f"{transformers.__version__}"
    )


def result_of(task: Task) -> dict[str, Any]:
    datamodule, _, steps = pieces(configuration(task, 1))
    rows = {split: source.rows for split, source in datamodule.sources.items()}
    train, validation = rows["train"].examples, rows["validation"].examples
    variants = {variant: runs_of(task, variant) for variant in VARIANTS}
    return {
        "task": task.name,
        "title": task.title,
        "metric": task.metric,
        "rows": {split: len(of_split.examples) for split, of_split in rows.items()},
        "sequences": {split: len(of_split.owners) for split, of_split in rows.items()},
        "cut": {split: of_split.num_truncated for split, of_split in rows.items()},
        "steps": steps,
        "baselines": {
            name: value * task.percent
            for name, value in baselines(task.group, task.metric, train, validation).items()
        },
        "runs": variants,
        "difference": difference(variants[PRETRAINED], variants[TRANSFORMERS]),
    }


def runs_of(task: Task, variant: str) -> list[dict[str, Any]]:
    """Reads the runs that have ended, in the order of their seeds."""
    runs = []
    for ended in (RUNS / task.run_name(variant, 0)).parent.glob(f"{variant}-*/{SECONDS}"):
        job = Job(task, variant, int(ended.parent.name.rpartition("-")[2]))
        metrics = json.loads((job.folder / "results.json").read_text())
        runs.append(
            {
                "seed": job.seed,
                "score": metrics[f"validation/{task.metric}"] * task.percent,
                **json.loads(ended.read_text()),
                "metrics": metrics,
            }
        )
    return sorted(runs, key=lambda run: run["seed"])


def difference(ours: list[dict[str, Any]], theirs: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Compares clozekit to transformers; None without two seeds of both."""
    if len(ours) < 2 or len(theirs) < 2:
        return None
    scores = [[run["score"] for run in runs] for runs in (ours, theirs)]
    pooled = math.sqrt(mean(stdev(of_one) ** 2 for of_one in scores))
    apart = mean(scores[0]) - mean(scores[1])
    return {"points": apart, "pooled_deviation": pooled, "is_worse": apart < -2 * pooled}


if __name__ == "__main__":
    main()
