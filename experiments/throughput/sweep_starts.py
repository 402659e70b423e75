"""How long the jobs of a sweep take to start: from their line on the screen to their first step.

    python experiments/throughput/sweep_starts.py [--jobs 4]

The jobs run one after the other. The first one waits for the imports, as every job would that is a
new process; on Linux the others are forked from a process that did the imports.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from commands import has_rows, prepare, run, train, write_corpus


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=4)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_corpus(folder / "small.jsonl", 0.0)
        run(prepare(folder, "small", "small", "tokenizer.vocab_size=8192"), folder)
        for job, seconds in enumerate(starts(folder, given.jobs)):
            print(f"job {job}: {seconds:.2f} s to the first step", flush=True)


def starts(folder: Path, jobs: int) -> list[float]:
    """Runs a sweep of short runs; gives the seconds of each job until its first step."""
    _, *overrides = train(folder, "small", "sweep")
    seconds = []
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "clozekit", "train", "-m", *overrides, "max_steps=2",
         f"seed=range(0,{jobs})"],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    for line in process.stdout:
        if ": started, output in" in line:
            began = time.monotonic()
            is_begun = has_rows(folder, f"sweep/seed-{len(seconds)}", 1)
            while not is_begun() and process.poll() is None:
                time.sleep(0.005)
            seconds.append(time.monotonic() - began)
    if process.wait():
        raise RuntimeError("the sweep failed")
    return seconds


if __name__ == "__main__":
    main()
