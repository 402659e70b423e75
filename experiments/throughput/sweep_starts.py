"""How long the jobs of a sweep take to start: from their line on the screen to their first step.

    python experiments/throughput/sweep_starts.py [--jobs 4] [--rounds 3]

Sweeps with and without the fork server alternate, so that a busy machine slows both. The jobs of a
sweep run one after the other. With the fork server, the first job waits for the imports; the others
are forked from a process that did them. Without it, each job is a new process. The whole duration
of the sweep divided by its jobs is given too. The results are written to `sweep_starts.json`.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from commands import has_rows, prepare, run, train, write_corpus

RESULTS = Path(__file__).with_name("sweep_starts.json")
SIDES = {"fork server": "true", "new processes": "false"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    found = {side: {"first": [], "others": [], "per job": []} for side in SIDES}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_corpus(folder / "small.jsonl", 0.0)
        run(prepare(folder, "small", "small", "tokenizer.vocab_size=8192"), folder)
        for number in range(given.rounds):
            for side, value in SIDES.items():
                seconds, whole = starts(folder, f"sweep{number}{value}", given.jobs, value)
                found[side]["first"].append(seconds[0])
                found[side]["others"] += seconds[1:]
                found[side]["per job"].append(whole / given.jobs)
    print("median seconds to the first step of the first job, of the others, and per job in all")
    for side, values in found.items():
        medians = (statistics.median(each) for each in values.values())
        print(f"{side:14}", *(f"{median:7.2f}" for median in medians), flush=True)
    RESULTS.write_text(json.dumps({"jobs": given.jobs, "seconds": found}, indent=1) + "\n")


def starts(folder: Path, name: str, jobs: int, fork_server: str) -> tuple[list[float], float]:
    """Runs a sweep of short runs.

    Returns:
        The seconds of each job until its first step, and those of the whole sweep.
    """
    _, *overrides = train(folder, "small", name)
    seconds: list[float] = []
    start = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", "clozekit", "train", "-m", *overrides, "max_steps=2",
         f"seed=range(0,{jobs})", f"hydra.launcher.fork_server={fork_server}"],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    for line in process.stdout:
        if ": started, output in" in line:
            began = time.monotonic()
            is_begun = has_rows(folder, f"{name}/seed-{len(seconds)}", 1)
            while not is_begun() and process.poll() is None:
                time.sleep(0.005)
            seconds.append(time.monotonic() - began)
    if process.wait():
        raise RuntimeError("the sweep failed")
    return seconds, time.monotonic() - start


if __name__ == "__main__":
    main()
