"""What `make demo` runs: text to shards, pretraining, a look at what was learnt, fine-tuning.

Every step is a command that is printed before it runs. Only the examples, the last table and the
two pictures are made here.

    python -m experiments.demo.demo                       # or: make demo
    python -m experiments.demo.demo --without-published   # or: make demo PUBLISHED=no
"""

import argparse
import csv
import json
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from experiments.demo.looks import num_validation_pairs, show_predictions
from experiments.demo.plots import draw_plots
from experiments.demo.sentiment import (
    FEW_ROWS,
    PUBLISHED,
    SENTENCES,
    published_encoder,
    write_sentiment_files,
)
from experiments.demo.tables import rows_of
from rich.console import Console
from rich.table import Table

from clozekit.corpus.manifest import Corpus
from clozekit.corpus.shards import Shard

RECIPE = (
    *("experiment=short", "encoder=modern_tiny", "encoder.num_hidden_layers=2"),
    "max_steps=1200",
)
"""How the demo pretrains; its encoder is also the one that is trained from scratch."""

STEPS_BETWEEN_PROBES = 400

FINE_TUNING = ("experiment=demo_sentiment", f"data.train={SENTENCES}/few.csv")
OF_SMALL = ("max_epochs=6", "optimizer.lr=1e-3", "encoder.classifier_pooling=mean")
OF_PUBLISHED = ("max_epochs=2", "optimizer.lr=1e-4")
CORPUS = Path("data/demo")
SEEDS = (1, 2)

console = Console(highlight=False)


def main() -> None:
    began = time.monotonic()
    uses_published = parsed().published
    root = free_run_root()
    run_clozekit("prepare", "source=movie_reviews", f"out={CORPUS}", "tokenizer.vocab_size=8192")
    write_sentiment_files()

    pretraining = Path("runs") / root / "pretraining"
    probes = [
        f"callbacks.probes.train={SENTENCES}/few.csv",
        f"callbacks.probes.every_n_steps={STEPS_BETWEEN_PROBES}",
    ]
    run_clozekit(
        *("train", *RECIPE, f"name={root}/pretraining", f"data.path={CORPUS}"),
        "callbacks=[checkpoints,preemption,progress,unigram_baseline,probes]",
        *(*probes, f"callbacks.probes.validation={SENTENCES}/validation.csv"),
    )
    words = show_predictions(pretraining, console)

    accuracy: dict[str, list[float]] = {"from scratch": [], "pretrained": []}
    for seed in SEEDS:
        for start, overrides in starts(pretraining).items():
            accuracy[start].append(fine_tuned(f"{root}/{start}-{seed}", seed, overrides))
    if uses_published:
        accuracy.update(of_published(root))

    results = {
        "unigram_entropy": unigram_entropy(),
        **json.loads((pretraining / "results.json").read_text()),
        "validation_pairs": num_validation_pairs(pretraining),
        "sentiment_rows": FEW_ROWS,
        "probe_share": last_value(pretraining, "train/probe_share"),
        "sentiment_accuracy": accuracy,
        "masked_words": words,
        "minutes": (time.monotonic() - began) / 60,
    }
    (Path("runs") / root / "results.json").write_text(json.dumps(results, indent=2) + "\n")
    pictures = draw_plots(pretraining, results["unigram_entropy"])
    show_results(results, root, pictures)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        *("--without-published",),
        dest="published",
        action="store_false",
        help=f"fine-tune no published encoder, and do not download {PUBLISHED}, 84 MB",
    )
    return parser.parse_args()


def free_run_root() -> str:
    """Finds a name under runs/ that no earlier demo has taken."""
    names = ("demo" if number == 1 else f"demo-{number}" for number in count(1))
    return next(name for name in names if not (Path("runs") / name).exists())


def run_clozekit(*arguments: str) -> None:
    command = ["clozekit", *arguments]
    console.print("\n[bold]$[/bold]", end=" ")
    console.print(shlex.join(command), markup=False, style="bold", soft_wrap=True)
    finished = subprocess.run([sys.executable, "-m", *command], check=False)
    if finished.returncode:
        sys.exit(finished.returncode)


def last_value(run: Path, column: str) -> float:
    """Returns the last value of a column of a run's metrics."""
    with (run / "metrics.csv").open(encoding="utf-8", newline="") as file:
        return float([row[column] for row in csv.DictReader(file) if row[column]][-1])


def starts(pretraining: Path) -> dict[str, tuple[str, ...]]:
    """Returns the overrides of the two starts of the small encoder."""
    encoder = tuple(override for override in RECIPE if override.startswith("encoder"))
    return {
        "from scratch": (*encoder, f"data.tokenizer={CORPUS}/tokenizer.json", *OF_SMALL),
        "pretrained": (f"encoder.pretrained={pretraining}", *OF_SMALL),
    }


def of_published(root: str) -> Iterator[tuple[str, list[float]]]:
    """Yields the accuracy from the published encoder, if it can be had."""
    folder = published_encoder()
    if folder is None:
        console.print(f"\n{PUBLISHED} could not be installed; going on without it", markup=False)
        return
    seed = SEEDS[0]
    start = (f"encoder.pretrained={folder}", *OF_PUBLISHED)
    yield "published", [fine_tuned(f"{root}/published-{seed}", seed, start)]


def fine_tuned(name: str, seed: int, overrides: tuple[str, ...]) -> float:
    """Fine-tunes for sentiment, and returns the accuracy on test rows."""
    name = name.replace(" ", "-")
    files = [f"data.{split}={SENTENCES}/{split}.csv" for split in ("validation", "test")]
    run_clozekit("train", *FINE_TUNING, f"name={name}", f"seed={seed}", *overrides, *files)
    results = json.loads((Path("runs") / name / "results.json").read_text())
    return float(results["test/accuracy"])


def unigram_entropy() -> float:
    """The loss, in nats, of a model that knows the held-out word frequencies, and no more."""
    tokens = [Shard.open(path).tokens for path in Corpus.open(CORPUS).shards("validation")]
    counts = np.bincount(np.concatenate(tokens))
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())


def show_results(results: dict[str, Any], root: str, pictures: list[Path]) -> None:
    table = Table(title="What came out", title_justify="left")
    table.add_column("")
    table.add_column("result", justify="right")
    table.add_column("for comparison")
    for row in rows_of(results):
        table.add_row(*row)
    console.print()
    console.print(table)
    console.print(
        f"{results['minutes']:.1f} minutes. The runs are in runs/{root}/ (configuration, "
        f"metrics.csv, curves.png, checkpoints); the corpus is in {CORPUS}/. The loss against word "
        f"frequencies is drawn in {pictures[0]}, the probe in {pictures[1]}.",
        markup=False,
    )


if __name__ == "__main__":
    main()
