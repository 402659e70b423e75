"""The page of this experiment, made from what its programs have written."""

import json
import os
import platform
from pathlib import Path
from typing import Any

QUESTION = """# Does a killed run resume exactly?

A run of `clozekit train` is killed with SIGKILL one to three times and resumed with `resume=auto`
until it ends. It is compared with a run of the same configuration that was never killed: the
samples and the loss of every micro-batch on every rank, `metrics.csv` without the columns for
speed, `results.json`, the names of all files, and in every checkpoint the weights, the states of
optimizer and schedule, and the position in the stream. Equal means bit for bit. Steps that were
done twice, before and after a kill, must be the same both times.

The runs are small (one layer, hidden size 32, 14 steps of 8 sequences, about three epochs,
checkpoints every 4 steps, validation every 6), so that many are possible. Processes are forked from
one that has imported everything. Two ranks get the variables that torchrun sets, and exchange
gradients over gloo. The time of a kill is given as `kind step.micro-step rank`; for files, the
second number is the file of the step (0 the best, 1 the last). In runs with "several epochs",
`trainer.limit_train_batches=5` ends Lightning's epochs, and with them the workers, within the run.
"""


def machine() -> dict[str, Any]:
    """Says what the figures were taken on."""
    import torch

    return {
        "system": f"{platform.system()} {platform.machine()}",
        "processors": os.cpu_count(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def write_readme(folder: Path) -> None:
    """Writes README.md from the results that are there."""
    (folder / "README.md").write_text(page())


def page(text: str = "") -> str:
    """Returns README.md; nothing of its text is kept."""
    folder = Path(__file__).resolve().parent
    files = [folder / "results.json", folder / "results-broken-masks.json"]
    parts = [QUESTION]
    parts += [_of_trials(json.loads(file.read_text())) for file in files if file.is_file()]
    if (folder / "cost.json").is_file():
        parts.append(_of_cost(json.loads((folder / "cost.json").read_text())))
    return "\n".join(parts)


def trials_in_words() -> str:
    """Returns what the repository's README.md says of the trials."""
    rows = json.loads(Path(__file__).with_name("results.json").read_text())["trials"]
    equal, kills = sum(row["equal"] for row in rows), sum(len(row["kills"]) for row in rows)
    return f"{equal} of {len(rows)} runs of all tasks, killed {kills} times"


def _of_trials(results: dict[str, Any]) -> str:
    rows = results["trials"]
    broken = results["broken"]
    title = f"Broken on purpose: {broken}" if broken else "Killed and resumed"
    why = (
        "Masks are drawn from NumPy's global generator instead of from (seed, epoch, position). "
        "The harness must detect this in pretraining. Classification has no masks, and a run that "
        "was killed before its first checkpoint starts again and therefore repeats them.\n\n"
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
        workers = f"{row['workers']}{'' if row['persistent'] else ', several epochs'}"
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
        "## The cost of resuming\n",
        f"`{cost['command']}` on {_machine(cost)}: a checkpoint whose position in the stream was "
        f"changed, resumed {cost['repeats']} times; median and range of seconds.\n",
        "| step of the checkpoint | epoch | batches built up to the first step | seconds |",
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
