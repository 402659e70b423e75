"""What the commands take on real text: time to start, to prepare, and memory as a corpus grows.

    python experiments/throughput/commands.py [--gigabytes 1]

The large corpus is the film reviews over and over, each copy with a first sentence of its own, so
that none is passed over as a duplicate. Memory is that of a command's processes together, with what
they share counted once (PSS), at its highest.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path

from labels import FIRST_STEP, ONE_CORE
from reviews import texts

FOLDER = Path(__file__).parent
ROWS = 5
"""Rows of metrics.csv after which training is stopped."""


@dataclass(frozen=True)
class Measured:
    """Of a command: its seconds, and its peak of memory in MiB."""

    seconds: float
    peak_mib: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gigabytes", type=float, default=1.0)
    parser.add_argument("--repetitions", type=int, default=3)
    given = parser.parse_args()
    figures: dict[str, object] = {"cores": len(os.sched_getaffinity(0))}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for size, least in (("small", 0.0), ("large", given.gigabytes * 1e9)):
            num_bytes = write_corpus(folder / f"{size}.jsonl", least)
            prepared = run(prepare(folder, size, size, "tokenizer.vocab_size=8192"), folder)
            trained = run(train(folder, size, size), folder, has_rows(folder, size, ROWS))
            figures[size] = {
                "megabytes": num_bytes / 1e6,
                "prepare": asdict(prepared),
                "train": {"peak_mib": trained.peak_mib},
            }
        known = ["tokenizer=existing", f"tokenizer.path={folder}/small/tokenizer.json"]
        one_core = run(prepare(folder, "small", "again", *known), folder, cores={0})
        figures[ONE_CORE] = asdict(one_core)
        figures[FIRST_STEP] = [
            run(
                train(folder, "small", f"start-{i}"), folder, has_rows(folder, f"start-{i}", 1)
            ).seconds
            for i in range(given.repetitions)
        ]
    (FOLDER / "commands.json").write_text(json.dumps(figures, indent=2) + "\n")
    print(json.dumps(figures, indent=2))


def write_corpus(file: Path, least: float) -> int:
    """Writes the reviews once, and again until there are `least` bytes of text; gives the bytes."""
    reviews = [text for text, _ in texts("documents", 25_000)]
    num_bytes = 0
    with file.open("w", encoding="utf-8") as written:
        for copy in count():
            for place, text in enumerate(reviews):
                if copy and num_bytes >= least:
                    return num_bytes
                marked = f"Copy {copy} of review {place}. {text}"
                num_bytes += len(marked.encode())
                print(json.dumps({"text": marked}), file=written)
    raise AssertionError("copies do not end")


def prepare(folder: Path, size: str, out: str, *tokenizer: str) -> list[str]:
    return ["prepare", "source=jsonl", f"source.path={folder}/{size}.jsonl", f"out={folder}/{out}",
            *tokenizer]  # fmt: skip


def train(folder: Path, size: str, name: str) -> list[str]:
    corpus = [f"data.path={folder}/{size}", f"runs_dir={folder}/runs", f"name={name}"]
    return ["train", *corpus, "max_steps=1000", "logger=csv", "trainer.log_every_n_steps=1"]


def has_rows(folder: Path, name: str, number: int) -> Callable[[], bool]:
    metrics = folder / "runs" / name / "metrics.csv"
    return lambda: metrics.exists() and len(metrics.read_text().splitlines()) > number


def run(
    arguments: Sequence[str],
    folder: Path,
    is_enough: Callable[[], bool] = lambda: False,
    cores: set[int] | None = None,
) -> Measured:
    """Runs a command to its end, or until it has done enough."""
    one = {"OMP_NUM_THREADS": "1", "RAYON_NUM_THREADS": "1"} if cores else {}
    began, peak = time.monotonic(), 0.0
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "clozekit", *arguments],
            stdout=log, stderr=log, env={**os.environ, **one},
        )  # fmt: skip
        if cores:
            os.sched_setaffinity(process.pid, cores)
        while process.poll() is None:
            peak = max(peak, sum(map(pss_mib, with_descendants(process.pid))))
            if is_enough():
                process.kill()
                process.wait()
                return Measured(time.monotonic() - began, peak)
            time.sleep(0.02)
    if process.returncode:
        raise RuntimeError((folder / "log").read_text())
    return Measured(time.monotonic() - began, peak)


def with_descendants(pid: int) -> Iterator[int]:
    yield pid
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return
    for child in children:
        yield from with_descendants(int(child))


def pss_mib(pid: int) -> float:
    """Gives a process's memory, of what it shares with n processes an n-th; 0 if it has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("Pss:")), 0.0)


if __name__ == "__main__":
    main()
