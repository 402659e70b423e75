"""Writes the results into the table of experiments/README.md.

python -m experiments.summary
"""

import json
import re
from pathlib import Path
from statistics import mean, median
from typing import Any

from experiments.forecasts.tables import RESULTS, in_words

FOLDER = Path(__file__).resolve().parent
README = FOLDER / "README.md"


def main() -> None:
    README.write_text(page(README.read_text(encoding="utf-8")), encoding="utf-8")


def page(text: str) -> str:
    """Returns the page with the result of each JSON file in the row that links to it."""
    for file, result in results().items():
        pattern = rf"\| [^|\n]* (\| \[[^\]]*\]\({re.escape(file)}\) \|)$"
        text, count = re.subn(pattern, lambda m, r=result: f"| {r} {m[1]}", text, flags=re.M)
        if count != 1:
            raise ValueError(f"the table has {count} rows with {file}")
    return with_forecasts(text)


def with_forecasts(text: str) -> str:
    """Fills the row of the forecasts, which have not been run everywhere, from their results."""
    if not RESULTS.is_file():
        return text
    forecasts = json.loads(RESULTS.read_text(encoding="utf-8"))
    cells = [f"{forecasts['machine']['cores']} cores", in_words(forecasts)]
    row = f"| {' | '.join(cells)} | [results.json](forecasts/results.json) |"
    pattern = r"^(\| \[[^\]]*\]\(forecasts/\) \| [^|\n]* )\|[^|\n]*\|[^|\n]*\|[^|\n]*\|$"
    text, count = re.subn(pattern, lambda m: m[1] + row, text, flags=re.M)
    if count != 1:
        raise ValueError(f"the table has {count} rows of the forecasts")
    return text


def results() -> dict[str, str]:
    """Returns the results in words, by file."""
    demo = read("demo/results.json")
    trials = read("resume_exactness/results.json")["trials"]
    broken = read("resume_exactness/results-broken-masks.json")["trials"]
    cost = {row["step"]: row["seconds"][1] for row in read("resume_exactness/cost.json")["rows"]}
    first, last = min(cost), max(cost)
    speed = read("throughput/results.json")
    ratios = [figure["ratio"]["median"] for figure in speed["pretraining"]["figures"]]
    tuned = [of["ratio"]["dynamic padding"]["median"] for of in speed["fine_tuning"]["figures"]]
    curves = read("throughput/loss_against_time.json")["mini"]
    ends = {name: curve[-1]["mlm_loss"] for name, curve in curves.items()}
    large = read("throughput/commands.json")["large"]
    compared = [task for task in read("finetune_tasks/results.json")["tasks"] if task["difference"]]
    worse = sum(task["difference"]["is_worse"] for task in compared)
    lost = read("lost_rank/results.json")["outcomes"]
    levers = read("throughput/levers.json")
    gains = [of["median"] for of in levers["oneDNN's products"].values()]
    families = read("throughput/families.json")["steps"]
    starts = read("throughput/sweep_starts.json")["seconds"]
    losses = held_out_losses("encoders/results.json")
    recipes = held_out_losses("recipes/tiny.json")
    recall = {
        when: read("embeddings/results.json")["minilm"][when]["recall@1"]
        for when in ("before", "after")
    }
    on_h200 = read("gpu/results/nvidia-h200/results.json")["parts"]["pretraining"]["rows"].values()
    on_gpu = [min(of["median"] for of in row["ratio"].values()) for row in on_h200]
    manuals = {
        each["label"]: each["average"]["mean"]
        for each in read("technical_english/results.json")["benchmark"]["checkpoints"]
    }
    return {
        "technical_english/results.json": f"average of five tasks {manuals['own']:.1f}, from "
        f"scratch {manuals['scratch']:.1f}, MiniLM {manuals['minilm']:.1f}",
        "gpu/results/nvidia-h200/results.json": f"pretraining {min(on_gpu):.1f} to "
        f"{max(on_gpu):.1f} times as fast as transformers",
        "embeddings/results.json": f"recall@1 of MiniLM {recall['before']:.2f} before, "
        f"{recall['after']:.2f} after",
        "demo/results.json": f"held-out loss {demo['validation/mlm_loss']:.2f} nats, "
        f"{demo['unigram_entropy']:.2f} from word frequencies alone",
        "resume_exactness/results.json": f"{equal(trials)} runs equal, "
        f"{sum(len(trial['kills']) for trial in trials)} kills",
        "resume_exactness/results-broken-masks.json": f"yes: only {equal(broken)} runs equal",
        "resume_exactness/cost.json": f"{cost[first]:.2f} s at step {first:,}, "
        f"{cost[last]:.2f} s at step {last:,}",
        "throughput/results.json": f"pretraining {min(ratios):.1f} to {max(ratios):.1f} times as "
        f"fast, fine-tuning {tuned[0]:.1f} and {tuned[1]:.1f}",
        "throughput/loss_against_time.json": f"mini after 10 minutes: {ends['clozekit']:.2f}, "
        f"transformers {ends['transformers']:.2f}",
        "throughput/levers.json": f"oneDNN's products: {min(gains):.2f} to {max(gains):.2f} times "
        "as fast",
        "throughput/commands.json": f"{large['megabytes']:,.0f} MB of text are prepared in "
        f"{large['prepare']['seconds']:.0f} s",
        "throughput/families.json": ", ".join(
            f"{title} {family_range(families, family)} times as fast"
            for family, title in (("modernbert", "ModernBERT"), ("roberta", "RoBERTa"))
        ),
        "throughput/sweep_starts.json": f"{median(starts['fork server']['others']):.1f} s, "
        f"{median(starts['new processes']['others']):.1f} s as a new process",
        "encoders/results.json": f"held-out loss {losses['modern']:.2f}, of BERT's block "
        f"{losses['bert']:.2f}",
        "recipes/tiny.json": f"held-out loss {recipes['best']:.2f} with what helps together, "
        f"{recipes['base']:.2f} without, {recipes['transformers']:.2f} with transformers",
        "finetune_tasks/results.json": f"worse in {worse} of {len(compared)} tasks",
        "lost_rank/results.json": f"{sum(outcome['is_right'] for outcome in lost)} of {len(lost)} "
        "end with exit code 1 and one sentence",
    }


def held_out_losses(file: str) -> dict[str, float]:
    """Returns the mean held-out loss of the seeds of each arm of runs with an equal time."""
    return {
        name: mean(of["pretraining"]["validation/mlm_loss"] for of in arm["seeds"].values())
        for name, arm in read(file)["arms"].items()
    }


def family_range(steps: list[dict[str, Any]], family: str) -> str:
    """Returns the smallest and the largest of a family's medians."""
    ratios = [of["ratio"]["median"] for of in steps if of["family"] == family]
    return f"{min(ratios):.1f} to {max(ratios):.1f}"


def equal(trials: list[dict[str, Any]]) -> str:
    """Returns how many trials are equal."""
    return f"{sum(trial['equal'] for trial in trials)} of {len(trials)}"


def read(file: str) -> Any:
    """Reads a file of results."""
    return json.loads((FOLDER / file).read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
