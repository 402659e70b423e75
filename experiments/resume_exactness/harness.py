"""Kills training at random moments, resumes it, and compares it to the run that was not killed.

    python experiments/resume_exactness/harness.py [--trials N] [--seed S] [--break masks]

Every trial is a function of the seed and its number. Whether a killed run equals the uninterrupted
one is told trial by trial, and written to `results.json` and `README.md` beside this file.
"""

import argparse
import json
import os
import random
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))

from experiments.resume_exactness.reporting import machine, write_readme  # noqa: E402
from tests.harness import killing, running  # noqa: E402
from tests.harness.cases import (  # noqa: E402
    MAX_STEPS,
    SAVED_STEPS,
    STEPS_BETWEEN_VALIDATIONS,
    Case,
    all_cases,
    prepare_overrides,
    write_data,
)
from tests.harness.comparing import differences  # noqa: E402
from tests.harness.killing import Moment  # noqa: E402

KILLED = -9
VALIDATED_STEPS = (
    *range(STEPS_BETWEEN_VALIDATIONS, MAX_STEPS, STEPS_BETWEEN_VALIDATIONS),
    MAX_STEPS,
)
GROUPS = (
    killing.IN_A_STEP,
    killing.IN_A_VALIDATION,
    killing.IN_A_SAVE,
    (killing.BETWEEN_EPOCHS,),
    (killing.ANY_TIME,),
)


@dataclass(frozen=True)
class Trial:
    """A case, and the moments at which its run is killed, one after the other."""

    number: int
    case: Case
    moments: tuple[Moment, ...]


@dataclass(frozen=True)
class Reference:
    """An uninterrupted run: where it lies, how long it took, the steps that begin an epoch."""

    folder: Path
    seconds: float
    epoch_steps: tuple[int, ...]


class Harness:
    """Runs trials in a folder of their own.

    Args:
        folder: Where data, runs and logs lie.
        patches: What is broken in every run, for a harness that has to find it.
    """

    def __init__(self, folder: Path, patches: tuple[Callable[[], None], ...] = ()) -> None:
        self.folder = folder
        self.patches = patches
        self.data = folder / "data"
        self._references: dict[str, Reference] = {}

    def prepare(self) -> None:
        """Makes the data of all tasks."""
        write_data(self.data)

        def work() -> None:
            from clozekit.cli import main

            sys.argv = ["clozekit", "prepare", *prepare_overrides(self.data)]
            main()

        code = running.fork_and_wait(work, self.folder / "prepare.log")
        if code:
            raise RuntimeError((self.folder / "prepare.log").read_text())

    def reference(self, case: Case) -> Reference:
        """Gives the case's uninterrupted run; the first call makes it."""
        case = replace(case, persistent=True)
        if case.name not in self._references:
            folder = running.fresh(self.folder / "references" / case.name)
            began = time.monotonic()
            codes, _ = self._run(case, folder, None)
            if any(codes):
                raise RuntimeError((folder / "log.txt").read_text())
            seconds = time.monotonic() - began
            self._references[case.name] = Reference(folder, seconds, _epoch_steps(folder))
        return self._references[case.name]

    def run(self, trial: Trial) -> dict[str, Any]:
        """Kills a run at the trial's moments, lets it end, and compares it."""
        reference = self.reference(trial.case)
        folder = self.folder / "trials" / str(trial.number)
        kills, codes, left_alone = self._kill_and_resume(trial, running.fresh(folder))
        while not kills:
            # It was faster than the uninterrupted run: any time comes earlier.
            moments = [replace(moment, seconds=moment.seconds / 2) for moment in trial.moments]
            trial = replace(trial, moments=tuple(moments))
            kills, codes, left_alone = self._kill_and_resume(trial, running.fresh(folder))
        found = ["an exit code that is not 0"] if any(codes) else []
        found += differences(folder, reference.folder) if not found else []
        return {
            "trial": trial.number,
            **trial.case.row(),
            "kills": kills,
            "others_ended": left_alone,
            "equal": not found,
            "differences": found,
            "moments": [asdict(moment) for moment in trial.moments],
        }

    def _kill_and_resume(self, trial: Trial, folder: Path) -> tuple[list[str], list[int], bool]:
        """Gives the kills that took place, the last exit codes, and whether others ended alone."""
        kills, left_alone = [], True
        for moment in (*trial.moments, None):
            codes, alone = self._run(trial.case, folder, moment)
            left_alone = left_alone and alone
            if moment is not None and KILLED in codes:
                kills.append(str(moment))
            if not any(codes):
                break
        return kills, codes, left_alone

    def workers_agree(self) -> bool:
        """Whether the uninterrupted runs with workers equal those without."""
        return all(
            not differences(reference.folder, self._references[twin].folder)
            for name, reference in self._references.items()
            if (twin := name.replace("-2workers", "-0workers")) in self._references
        )

    def _run(self, case: Case, folder: Path, moment: Moment | None) -> tuple[list[int], bool]:
        recorder = f"{killing.Recorder.__module__}.{killing.Recorder.__name__}"
        config = case.config(
            self.data,
            folder,
            "resume=auto",
            f"+callbacks.recorder._target_={recorder}",
            f"+callbacks.recorder.folder={folder}",
            *(moment.overrides() if moment else []),
        )
        at_any_time = moment is not None and moment.kind == killing.ANY_TIME
        seconds = moment.seconds if moment is not None and at_any_time else None
        return running.run(config, case.ranks, folder / "log.txt", self.patches, seconds)


def random_trials(harness: Harness, number: int, seed: int) -> Iterator[Trial]:
    """Draws trials; cases and kinds of moments come in turn, all else is random."""
    cases = all_cases()
    for index in range(number):
        draw = random.Random(f"{seed}/{index}")
        case = cases[index % len(cases)]
        if case.workers:
            case = replace(case, persistent=draw.random() < 0.5)
        reference = harness.reference(case)
        # The round is added, so that a case does not meet the same group again.
        first_group = GROUPS[(index + index // len(cases)) % len(GROUPS)]
        groups = [first_group, *draw.choices(GROUPS, k=draw.randrange(3))]
        moments = [draw_moment(group, case, reference, draw) for group in groups]
        yield Trial(index, case, tuple(sorted(moments, key=lambda moment: moment.step)))


def draw_moment(
    group: tuple[str, ...], case: Case, reference: Reference, draw: random.Random
) -> Moment:
    """Draws a moment of a group of kinds."""
    kind = draw.choice(group)
    rank = draw.randrange(case.ranks)
    if group == killing.IN_A_STEP:
        return Moment(kind, draw.randrange(MAX_STEPS), draw.randrange(case.accumulation), rank)
    if group == killing.IN_A_VALIDATION:
        # The second rank's share of so small a validation split may be empty.
        rank = 0 if kind == "validation batch" else rank
        return Moment(kind, draw.choice(VALIDATED_STEPS), 0, rank)
    if group == killing.IN_A_SAVE:
        step = draw.choice((*SAVED_STEPS, MAX_STEPS))
        # At the first validation the best one is saved, then the last.
        which = draw.randrange(2) if step == STEPS_BETWEEN_VALIDATIONS else 0
        return Moment(kind, step, which)
    if group == (killing.BETWEEN_EPOCHS,):
        step = draw.choice(reference.epoch_steps) + draw.randrange(2)
        return Moment(kind, min(step, MAX_STEPS - 1), 0, rank)
    return Moment(kind, seconds=draw.uniform(0.0, reference.seconds))


def _epoch_steps(folder: Path) -> tuple[int, ...]:
    """Lists the steps whose batches are the first with samples of a later epoch."""
    first_steps: dict[int, int] = {}
    for (_, step, _), record in killing.read_records(folder):
        for epoch, *_ in record["samples"]:
            first_steps[epoch] = min(step, first_steps.get(epoch, step))
    return tuple(sorted(step for epoch, step in first_steps.items() if epoch))


def run_all(harness: Harness, trials: Iterator[Trial]) -> list[dict[str, Any]]:
    """Runs trials and prints a line each."""
    rows = []
    for trial in trials:
        row = harness.run(trial)
        verdict = "equal" if row["equal"] else f"NOT EQUAL: {', '.join(row['differences'])}"
        kills = "; ".join(row["kills"]) or "never killed"
        print(f"{trial.number:3d}  {trial.case.name:45s}  {kills:60s}  {verdict}", flush=True)
        rows.append(row)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=len(all_cases()))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--break", dest="broken", choices=killing.BREAKS)
    parser.add_argument("--folder", type=Path, help="keeps data, runs and logs there")
    options = parser.parse_args()
    patches = (killing.BREAKS[options.broken],) if options.broken else ()
    with running.scratch() as temporary:
        harness = Harness(running.fresh(options.folder or temporary / "runs"), patches)
        harness.prepare()
        began = time.monotonic()
        rows = run_all(harness, random_trials(harness, options.trials, options.seed))
        arguments = " ".join(["harness.py", *sys.argv[1:]])
        results = {
            "command": f"python experiments/resume_exactness/{arguments}",
            "machine": machine(),
            "seed": options.seed,
            "broken": options.broken,
            "seconds": round(time.monotonic() - began),
            "workers_agree": harness.workers_agree(),
            "equal": sum(row["equal"] for row in rows),
            "trials": rows,
        }
    name = f"results-broken-{options.broken}.json" if options.broken else "results.json"
    (HERE / name).write_text(json.dumps(results, indent=1) + "\n")
    write_readme(HERE)
    print(f"{results['equal']} of {len(rows)} trials equal")


if __name__ == "__main__":
    main()
