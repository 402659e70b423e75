"""The page of this experiment, made from what its programs have written."""

import json
import os
import platform
from pathlib import Path
from typing import Any

import torch

QUESTION = """# Does a killed run go on exactly?

A run of `clozekit train` is killed with SIGKILL one to three times, resumed with `resume=auto`
until it ends, and compared to a run of the same configuration that was never killed: the samples
and the loss of every micro-batch on every rank, `metrics.csv` without the columns of speed,
`results.json`, the names of all files, and in every checkpoint the weights, the optimizer's and
schedule's states and the place in the stream. Equal means bit for bit. Steps that were taken twice,
before and after a kill, have to be the same both times.

The runs are toys (one layer, hidden size 32, 14 steps of 8 sequences, about three epochs,
checkpoints every 4 steps, validation every 6) so that there can be many. Processes are forked from
one that has imported everything; two ranks get the variables that torchrun sets, and exchange
gradients over gloo. A moment is `kind step.micro-step rank`; in a file's case the second number
says which of the step's files (0 the best, 1 the last). A loader whose workers do not persist is
made by the harness: training reads one endless epoch, so persistence changes nothing there and is
no key of the configuration.
"""


def machine() -> dict[str, Any]:
    """Says what the figures were taken on."""
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "processors": os.cpu_count(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def write_readme(folder: Path) -> None:
    """Writes README.md from the results that are there."""
    files = [folder / "results.json", folder / "results-broken-masks.json"]
    parts = [QUESTION]
    parts += [_of_trials(json.loads(file.read_text())) for file in files if file.is_file()]
    if (folder / "cost.json").is_file():
        parts.append(_of_cost(json.loads((folder / "cost.json").read_text())))
    (folder / "README.md").write_text("\n".join(parts))


def _of_trials(results: dict[str, Any]) -> str:
    rows = results["trials"]
    broken = results["broken"]
    title = f"Broken on purpose: {broken}" if broken else "Killed and resumed"
    why = (
        "Masks are drawn from NumPy's global generator instead of from (seed, epoch, position). "
        "The harness has to notice in pretraining; classification has no masks, and a run that was "
        "killed before its first checkpoint begins anew and so repeats them.\n\n"
        if broken
        else ""
    )
    lines = [
        f"## {title}\n",
        f"{why}`{results['command']}`, {results['seconds']} s on {_machine(results)}.\n",
        f"**{results['equal']} of {len(rows)} trials equal.** "
        f"{sum(len(row['kills']) for row in rows)} kills. "
        + ("" if broken else _agreement(results))
        + "\n",
        "| trial | task | workers | ranks | accumulation | killed | equal |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        workers = f"{row['workers']}{'' if row['persistent'] else ', not persistent'}"
        verdict = "yes" if row["equal"] else f"no: {_shortened(row['differences'])}"
        lines.append(
            f"| {row['trial']} | {row['task']} | {workers} | {row['ranks']} "
            f"| {row['accumulation']} | {'; '.join(row['kills'])} | {verdict} |"
        )
    return "\n".join(lines) + "\n"


def _shortened(differences: list[str]) -> str:
    listed = [name for name in differences if ".ckpt" not in name]
    in_checkpoints = {name.partition(": ")[2] for name in differences if ".ckpt" in name}
    return ", ".join(listed + [f"{part} in checkpoints" for part in sorted(in_checkpoints)])


def _agreement(results: dict[str, Any]) -> str:
    agree = "equal" if results["workers_agree"] else "do not equal"
    ended = all(row["others_ended"] for row in results["trials"])
    others = "ended by itself" if ended else "did not always end by itself"
    return (
        f"The uninterrupted runs with two workers {agree} those without. "
        f"Where one of two ranks was killed, the other {others}."
    )


def _of_cost(cost: dict[str, Any]) -> str:
    lines = [
        "## What a resumption costs\n",
        f"`{cost['command']}` on {_machine(cost)}: a checkpoint whose place in the stream was "
        f"moved, resumed {cost['repeats']} times; the median and the range of seconds.\n",
        "| the checkpoint's step | epoch | batches built up to the first step | seconds |",
        "|---|---|---|---|",
    ]
    for row in cost["rows"]:
        low, median, high = row["seconds"]
        lines.append(
            f"| {row['step']:,} | {row['epoch']:,} | {row['batches_built']} "
            f"| {median:.2f} ({low:.2f} to {high:.2f}) |"
        )
    return "\n".join(lines) + "\n"


def _machine(results: dict[str, Any]) -> str:
    found = results["machine"]
    return (
        f"{found['processors']} cores, {found['system']}, Python {found['python']}, "
        f"torch {found['torch']}"
    )
