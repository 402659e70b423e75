"""Writes the tables of `README.md` from `results.json`.

python -m experiments.finetune_tasks.tables
"""

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from experiments.finetune_tasks.tasks import PRETRAINED, SCRATCH, TASKS, TRANSFORMERS, Task
from experiments.pages import replaced

HERE = Path(__file__).resolve().parent
VARIANTS = (PRETRAINED, TRANSFORMERS, SCRATCH)
MODEL = "$MINILM"


def main() -> None:
    readme = HERE / "README.md"
    readme.write_text(page(readme.read_text(encoding="utf-8")), encoding="utf-8")


def page(text: str) -> str:
    """Returns README.md with the tables of the results."""
    results = json.loads((HERE / "results.json").read_text())
    for name, part in {
        "table": table(results["tasks"]),
        "verdict": verdict(results["tasks"]),
        "machine": results["machine"],
        "commands": "\n".join(["```sh", *map(command, TASKS), "```"]),
    }.items():
        text = replaced(text, name, part)
    return text


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


if __name__ == "__main__":
    main()
