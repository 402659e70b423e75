"""Pretraining runs that are compared at an equal training time, and what they are worth afterwards.

An arm is a list of overrides of `clozekit train`. Its speed is measured on an idle machine
(`equal_time_speeds.py`); from it follow the steps that fit into the time. So the runs themselves
may share the machine with other programs without a change of their results.
"""

import json
import os
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Any

RUNS = Path("runs")
ONE_THREAD = {"OMP_NUM_THREADS": "1", "RAYON_NUM_THREADS": "1", "WANDB_MODE": "disabled"}


@dataclass(frozen=True)
class Arm:
    """What is compared.

    Attributes:
        name: What its runs are called.
        title: What it is called in the table.
        overrides: What its pretraining command says beyond the common overrides.
        learning_rates: Those tried with the first seed; the best is used with all seeds.
        fine_tuning: What fine-tuning from it says beyond the common overrides.
        module: The program that pretrains, as `python -m` names it. One that is not clozekit takes
            the same command line.
    """

    name: str
    title: str
    overrides: tuple[str, ...] = ()
    learning_rates: tuple[float, ...] = (2e-3,)
    fine_tuning: tuple[str, ...] = ()
    module: str = "clozekit"


@dataclass(frozen=True)
class Downstream:
    """A task that shows what the pretrained encoders are worth; its runs are judged by a metric."""

    name: str
    title: str
    metric: str
    overrides: tuple[str, ...] = ()


@dataclass(frozen=True)
class Comparison:
    """Arms, and what is the same for all of them.

    Attributes:
        name: The folder of its runs within `runs/`.
        corpus: What `clozekit prepare` wrote.
        seconds: The training time of each run, on one thread.
        overrides: Of all pretraining commands.
        arms: What is compared.
        tasks: What each pretrained encoder is fine-tuned on.
        seeds: Of the pretraining and of the fine-tuning after it.
        metric: The held-out loss by which a learning rate is chosen.
        tuning_seconds: The training time of the runs that choose a learning rate; None for
            `seconds`, so that the chosen one is also the run of the first seed.
        speeds: Steps per second by the name of the arm, as `measured_speeds` returns them.
    """

    name: str
    corpus: Path
    seconds: float
    overrides: tuple[str, ...]
    arms: tuple[Arm, ...]
    tasks: tuple[Downstream, ...] = ()
    seeds: tuple[int, ...] = (1, 2, 3)
    metric: str = "validation/mlm_loss"
    tuning_seconds: float | None = None
    speeds: dict[str, float] = field(default_factory=dict)

    def run_name(self, arm: Arm, rate: float, seed: int) -> str:
        return f"{self.name}/{arm.name}/lr{rate:g}-{seed}"

    def tuning(self, arm: Arm, rate: float) -> tuple[str, list[str]]:
        """Returns the name and the command of a run that tries a learning rate."""
        if self.tuning_seconds is None:
            name = self.run_name(arm, rate, self.seeds[0])
            return name, self.pretraining(arm, rate, self.seeds[0])
        name = f"{self.name}/{arm.name}/tuning-lr{rate:g}"
        return name, self._pretraining(name, arm, rate, self.seeds[0], self.tuning_seconds)

    def pretraining(self, arm: Arm, rate: float, seed: int) -> list[str]:
        """Returns the command of a pretraining run."""
        return self._pretraining(self.run_name(arm, rate, seed), arm, rate, seed, self.seconds)

    def _pretraining(
        self, name: str, arm: Arm, rate: float, seed: int, seconds: float
    ) -> list[str]:
        steps = int(seconds * self.speeds[arm.name])
        return [
            f"name={name}",
            *self.common(arm, rate),
            f"seed={seed}",
            f"max_steps={steps}",
            "validate_every_n_steps=null",
            "callbacks.checkpoints.every_n_steps=1000000",
        ]

    def common(self, arm: Arm, rate: float) -> list[str]:
        """Returns what a pretraining command says whatever its length."""
        return [
            *self.overrides,
            *arm.overrides,
            f"data.path={self.corpus}",
            f"optimizer.lr={rate:g}",
            "logger=csv",
        ]

    def fine_tuning(self, task: Downstream, arm: Arm, rate: float, seed: int) -> list[str]:
        """Returns the command of a fine-tuning run."""
        return [
            f"name={self.run_name(arm, rate, seed)}-{task.name}",
            *task.overrides,
            *arm.fine_tuning,
            f"encoder.pretrained={RUNS / self.run_name(arm, rate, seed)}",
            f"seed={seed}",
            "logger=csv",
        ]


def run_command(overrides: Sequence[str], name: str, module: str = "clozekit") -> None:
    """Runs `clozekit train`, or a program like it; its output is a file beside the run's folder.

    Raises:
        SystemExit: It failed.
    """
    log_file = RUNS / f"{name}.log"
    log_file.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", module, "train", *overrides]
    with log_file.open("a") as log:
        finished = subprocess.run(
            command, stdout=log, stderr=subprocess.STDOUT, env={**os.environ, **ONE_THREAD}
        )
    if finished.returncode:
        raise SystemExit(f"{shlex.join(command)} failed: see {log_file}")


def results_of(name: str) -> dict[str, Any] | None:
    """Returns the results of a run; None if it has not ended."""
    file = RUNS / name / "results.json"
    return json.loads(file.read_text()) if file.exists() else None


def finish(name: str, overrides: Sequence[str], module: str = "clozekit") -> dict[str, Any]:
    """Runs what has not ended; a run that was interrupted is resumed.

    Raises:
        SystemExit: It failed, or the name has been used by another command.
    """
    record, written = RUNS / f"{name}.command", shlex.join([module, "train", *overrides]) + "\n"
    if record.exists() and record.read_text() != written:
        raise SystemExit(f"{RUNS / name} is a run of another command: see {record}")
    if results_of(name) is None:
        record.parent.mkdir(parents=True, exist_ok=True)
        record.write_text(written)
        began = time.monotonic()
        run_command([*overrides, "resume=auto"], name, module)
        print(f"{time.strftime('%H:%M:%S')} {name}: {time.monotonic() - began:.0f} s", flush=True)
    results = results_of(name)
    assert results is not None
    return results


def run_all(
    comparison: Comparison,
    jobs: int,
    known: Mapping[str, Any] | None = None,
    changed: Callable[[dict[str, Any]], None] = lambda results: None,
) -> dict[str, Any]:
    """Runs every arm with every seed, and every task from it.

    Args:
        comparison: What is compared.
        jobs: The number of runs at a time.
        known: What an earlier call has returned, maybe on another machine. Its learning rates and
            seeds are not run again.
        changed: Called with the results after each seed of an arm, to write them.

    Returns:
        The results by arm.

    Raises:
        SystemExit: A run failed, or a known arm is another one.
    """
    results = dict(known or {})
    _refuse_others(comparison, results)
    new = [arm for arm in comparison.arms if arm.name not in results]
    with ThreadPoolExecutor(jobs) as pool:
        tried = _in_parallel(
            pool,
            [(arm, rate) for arm in new for rate in arm.learning_rates],
            lambda arm, rate: finish(*comparison.tuning(arm, rate), arm.module),
        )
        for arm in new:
            of_rates = {rate: tried[arm, rate] for rate in arm.learning_rates}
            results[arm.name] = _tuned(comparison, arm, of_rates)
        lock = Lock()

        def work(seed: int, arm: Arm) -> None:
            of_arm = results[arm.name]
            done = _pretrain_and_fine_tune(comparison, arm, of_arm["learning_rate"], seed)
            with lock:
                of_arm["seeds"] = dict(sorted({**of_arm["seeds"], str(seed): done}.items()))
                changed(results)

        missing = [
            (seed, arm)
            for seed in comparison.seeds
            for arm in comparison.arms
            if str(seed) not in results[arm.name]["seeds"]
        ]
        _in_parallel(pool, missing, work)
    return results


def _tuned(
    comparison: Comparison, arm: Arm, of_rates: Mapping[float, dict[str, Any]]
) -> dict[str, Any]:
    """Returns an arm's results before any seed is run."""
    return {
        "title": arm.title,
        "overrides": list(arm.overrides),
        "steps_per_second": comparison.speeds[arm.name],
        "tried": {f"{rate:g}": found for rate, found in of_rates.items()},
        "learning_rate": min(of_rates, key=lambda rate: of_rates[rate][comparison.metric]),
        "seeds": {},
    }


def _refuse_others(comparison: Comparison, known: Mapping[str, Any]) -> None:
    for arm in comparison.arms:
        of_arm = known.get(arm.name)
        now = (list(arm.overrides), comparison.speeds[arm.name])
        if of_arm is not None and (of_arm["overrides"], of_arm["steps_per_second"]) != now:
            raise SystemExit(f"the results have another {arm.name}: remove it from them")


def _in_parallel(
    pool: ThreadPoolExecutor, places: Iterable[tuple[Any, ...]], work: Callable[..., Any]
) -> dict[tuple[Any, ...], Any]:
    waiting = {place: pool.submit(work, *place) for place in places}
    return {place: future.result() for place, future in waiting.items()}


def _pretrain(comparison: Comparison, arm: Arm, rate: float, seed: int) -> dict[str, Any]:
    name = comparison.run_name(arm, rate, seed)
    return finish(name, comparison.pretraining(arm, rate, seed), arm.module)


def _pretrain_and_fine_tune(
    comparison: Comparison, arm: Arm, rate: float, seed: int
) -> dict[str, Any]:
    results = {"pretraining": _pretrain(comparison, arm, rate, seed)}
    for task in comparison.tasks:
        command = comparison.fine_tuning(task, arm, rate, seed)
        name = f"{comparison.run_name(arm, rate, seed)}-{task.name}"
        results[task.name] = finish(name, command)
    return results


def mean_and_deviation(values: Sequence[float]) -> tuple[float, float]:
    """Returns the mean and the sample standard deviation, 0 of one value."""
    return statistics.mean(values), statistics.stdev(values) if len(values) > 1 else 0.0


def of_seeds(arm: Mapping[str, Any], stage: str, metric: str) -> list[float]:
    """Returns a metric of each seed of an arm, in the order of the seeds."""
    return [float(seed[stage][metric]) for seed in arm["seeds"].values()]
