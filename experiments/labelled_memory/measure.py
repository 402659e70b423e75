"""Measures the start and the memory of fine-tuning on many rows, and of prediction on them.

Each command runs as a user starts it, in a folder that is removed at the end.

python experiments/labelled_memory/measure.py 400000 4000000
"""

import argparse
import csv
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from clozekit.config.prepare import WordPieceConfig
from clozekit.corpus.tokenizers.vocabulary import count_words, train_from_counts

CLASSES = ("entailment", "neutral", "contradiction")
WORDS = {"premise": 20, "hypothesis": 10}
"""The mean number of words of each text, as in MNLI."""

SECONDS_BETWEEN_LOOKS = 0.1
TINY = (
    "encoder.hidden_size=64",
    "encoder.num_hidden_layers=2",
    "encoder.num_attention_heads=2",
    "encoder.intermediate_size=256",
)


def main() -> None:
    """Measures every number of rows, and prints a table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("rows", type=int, nargs="+")
    parser.add_argument("--predicted", type=int, help="rows of the file to predict; default: all")
    parser.add_argument("--folder", help="where the files are put; default: the system's")
    arguments = parser.parse_args()
    figures = []
    for num_rows in arguments.rows:
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            figures.append(measure(Path(folder), num_rows, arguments.predicted or num_rows))
            print(json.dumps(figures[-1]), flush=True)
    print_table(figures)


def measure(folder: Path, num_rows: int, num_predicted: int) -> dict[str, Any]:
    """Measures training with two steps, the same again, and prediction."""
    write_tokenizer(folder / "tokenizer.json")
    write_pairs(folder / "pairs.csv", num_rows)
    write_pairs(folder / "predicted.csv", num_predicted)
    train = (
        *("train", "task=classification", "data=classification", "data.train=pairs.csv"),
        *("data.text_column=premise", "data.text_pair_column=hypothesis"),
        *("data.tokenizer=tokenizer.json", *TINY, "trainer.limit_val_batches=2"),
        *("max_steps=2", "max_epochs=null", "trainer.log_every_n_steps=1", "logger.wandb=null"),
    )
    predict = ("predict", "checkpoint=runs/first", "input=predicted.csv", "output=out.jsonl")
    return {
        "rows": num_rows,
        "csv_mb": (folder / "pairs.csv").stat().st_size / 1e6,
        "train": run(folder, (*train, "name=first"), has_a_step(folder / "runs/first")),
        "train_again": run(folder, (*train, "name=second"), has_a_step(folder / "runs/second")),
        "stored_mb": sum(f.stat().st_size for f in (folder / "runs/.rows").glob("*.arrow")) / 1e6
        if (folder / "runs/.rows").exists()
        else 0,
        "predicted": num_predicted,
        "predict": run(folder, predict),
    }


def has_a_step(run_folder: Path) -> Callable[[], bool]:
    """Returns a function that tells whether a run has logged its first step."""

    def look() -> bool:
        metrics = run_folder / "metrics.csv"
        return metrics.is_file() and len(metrics.read_text().splitlines()) > 1

    return look


def run(
    folder: Path, arguments: tuple[str, ...], is_reached: Callable[[], bool] | None = None
) -> dict[str, float]:
    """Runs a command and watches its memory.

    Returns:
        Its seconds, those until `is_reached`, and the peak memory of its processes in MB: `mb`
        counts what they share once; `pss_mb` divides it by all processes of the machine that use
        it, so it is lower while other programs use the same libraries.
    """
    log = folder / "log.txt"
    begin = time.monotonic()
    measured = {"mb": 0.0, "pss_mb": 0.0, "mapped_mb": 0.0}
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "clozekit", *arguments],
            cwd=folder,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=os.environ | {"HF_DATASETS_CACHE": str(folder / "datasets")},
        )
        while process.poll() is None:
            seen = memory(process.pid)
            measured |= {name: max(value, measured[name]) for name, value in seen.items()}
            if is_reached is not None and "first_step" not in measured and is_reached():
                measured["first_step"] = time.monotonic() - begin
            time.sleep(SECONDS_BETWEEN_LOOKS)
    if process.returncode:
        raise SystemExit(log.read_text())
    return {**measured, "seconds": time.monotonic() - begin}


def memory(process_id: int) -> dict[str, float]:
    """Returns the memory in MB of a process and those that it started."""
    found = [read for each in tree(process_id) if (read := rollup(each))]
    private = sum(each["Private_Clean"] + each["Private_Dirty"] for each in found)
    shared = max((each["Shared_Clean"] + each["Shared_Dirty"] for each in found), default=0)
    return {
        "mb": (private + shared) / 1e3,
        "pss_mb": sum(each["Pss"] for each in found) / 1e3,
        "mapped_mb": sum(each["Pss_File"] for each in found) / 1e3,
    }


def tree(process_id: int) -> Iterator[int]:
    """Yields a process and those that it started, at any depth."""
    yield process_id
    for children in Path(f"/proc/{process_id}/task").glob("*/children"):
        try:
            ids = children.read_text().split()
        except OSError:
            continue
        for child in ids:
            yield from tree(int(child))


def rollup(process_id: int) -> dict[str, int]:
    """Returns the sums of a process's memory maps in KB; empty if it has ended."""
    try:
        lines = Path(f"/proc/{process_id}/smaps_rollup").read_text().splitlines()[1:]
    except OSError:
        return {}
    return {name: int(value.split()[0]) for name, value in (line.split(":") for line in lines)}


def vocabulary() -> list[str]:
    """Makes 20,000 words of syllables."""
    draw = random.Random(0)
    syllables = [a + b for a in "bdfgklmnprst" for b in "aeiou"]
    return ["".join(draw.choices(syllables, k=draw.randint(1, 4))) for _ in range(20_000)]


def texts(number: int, mean: int, draw: random.Random) -> Iterator[str]:
    """Yields texts whose words are as frequent as those of a language (Zipf's law)."""
    words = vocabulary()
    cumulated, total = [], 0.0
    for rank in range(1, len(words) + 1):
        total += 1 / rank
        cumulated.append(total)
    for _ in range(number):
        size = max(2, round(draw.gauss(mean, mean / 2.5)))
        yield " ".join(draw.choices(words, cum_weights=cumulated, k=size))


def write_pairs(path: Path, number: int) -> None:
    """Writes labelled pairs of texts with MNLI's lengths."""
    draw = random.Random(1)
    columns = [texts(number, mean, draw) for mean in WORDS.values()]
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow((*WORDS, "label"))
        for pair in zip(*columns, strict=True):
            writer.writerow((*pair, draw.choice(CLASSES)))


def write_tokenizer(path: Path) -> None:
    """Learns a WordPiece vocabulary of 8,192 entries."""
    config = WordPieceConfig(vocab_size=8192)
    learnt_from = pa.array(list(texts(20_000, 20, random.Random(2))), pa.string())
    tokenizer = train_from_counts(count_words(learnt_from, config), config)
    path.write_text(tokenizer.to_str())


def print_table(figures: list[dict[str, Any]]) -> None:
    """Prints the figures as a table of the README."""
    print("| rows | CSV | first step | found again | train | again | predict | rows/s |")
    print("|---|---|---|---|---|---|---|---|")
    for of in figures:
        first, again, predict = of["train"], of["train_again"], of["predict"]
        print(
            f"| {of['rows']:,} | {of['csv_mb']:,.0f} MB | {first['first_step']:.1f} s "
            f"| {again['first_step']:.1f} s | {first['mb']:,.0f} MB | {again['mb']:,.0f} MB "
            f"| {predict['mb']:,.0f} MB | {of['predicted'] / predict['seconds']:,.0f} |"
        )


if __name__ == "__main__":
    main()
