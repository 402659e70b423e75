"""Collects the runs to `results.json`, and writes the tables of `README.md` beside this file.

python experiments/finetune_tasks/report.py
"""

import json
import math
import os
import platform
from collections.abc import Sequence
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
MODEL = "$MINILM"


def main() -> None:
    results = {"machine": machine(), "tasks": [result_of(task) for task in TASKS]}
    (HERE / "results.json").write_text(json.dumps(results, indent=2) + "\n")
    readme = (HERE / "README.md").read_text(encoding="utf-8")
    for name, text in {
        "table": table(results["tasks"]),
        "verdict": verdict(results["tasks"]),
        "machine": results["machine"],
        "commands": "\n".join(["```sh", *map(command, TASKS), "```"]),
    }.items():
        readme = replaced(readme, name, text)
    (HERE / "README.md").write_text(readme, encoding="utf-8")
    print(table(results["tasks"]), verdict(results["tasks"]), sep="\n\n")


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


def table(results: Sequence[dict[str, Any]]) -> str:
    lines = [
        "| task | rows | metric | without a model | from scratch | clozekit | transformers "
        "| difference | minutes a run |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for result in results:
        ours, theirs, scratch = (result["runs"][v] for v in VARIANTS)
        apart = result["difference"]
        cells = [
            result["title"],
            f"{result['rows']['train']:,} + {result['rows']['validation']:,}",
            result["metric"].replace("f1", "F1").replace("pearson", "Pearson's r"),
            "; ".join(f"{value:.1f} {name}" for name, value in result["baselines"].items()),
            spread(scratch),
            spread(ours),
            spread(theirs),
            f"{apart['points']:+.1f} of ±{2 * apart['pooled_deviation']:.1f}" if apart else "",
            " / ".join(f"{mean(r['seconds'] for r in v) / 60:.1f}" for v in (ours, theirs) if v),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def spread(runs: Sequence[dict[str, Any]]) -> str:
    """Writes the mean and the sample deviation over seeds."""
    scores = [run["score"] for run in runs]
    if len(scores) < 2:
        return "".join(f"{score:.1f}" for score in scores)
    return f"{mean(scores):.1f} ± {stdev(scores):.1f}"


def verdict(results: Sequence[dict[str, Any]]) -> str:
    compared = [result for result in results if result["difference"]]
    worse = [result["title"] for result in compared if result["difference"]["is_worse"]]
    text = f"In {len(worse)} of {len(compared)} tasks clozekit is worse than transformers by more "
    text += "than two pooled deviations over seeds"
    return f"**{text}{': ' if worse else ''}{', '.join(worse)}.**"


def command(task: Task) -> str:
    first, *rest = task.command(PRETRAINED, 1, MODEL)
    name, lines = f"# {task.title}", [f"clozekit train {first}"]
    for override in rest:
        # Three to a line, or as many as fit.
        if len(lines[-1]) + len(override) < 96:
            lines[-1] += f" {override}"
        else:
            lines.append(f"  {override}")
    return "\n".join([name, " \\\n".join(lines)])


def replaced(readme: str, name: str, text: str) -> str:
    """Puts a text between a pair of comments."""
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    before, after = readme.split(begin)[0], readme.split(end)[1]
    return f"{before}{begin}\n{text}\n{end}{after}"


if __name__ == "__main__":
    main()
