"""Runs from another run's checkpoint and runs with a budget, killed; see `test_branched_runs`."""

import json
from typing import Any

import clozekit.training.budget as budgets
from clozekit.training.measuring import Measured
from tests.harness.comparing import differences, history
from tests.harness.killing import Moment
from tests.programs.forked import ONE, TWO_RANKS, Lab, main, without_onednn

BEGIN = 6
"""The step at which cooled runs begin."""

WSD = ("schedule=wsd", "schedule.decay_ratio=0.2")
KEPT = ("callbacks.checkpoints.save_top_k=-1",)
BUDGET = ("max_steps=null", "budget=20s")
BUDGET_STEPS = 10

MEASURED = Measured(
    step=(1.5,),
    warm_up=0.5,
    validation=0.0,
    checkpoint=0.0,
    checkpoint_bytes=1,
    start=1.5,
    peak_bytes=1,
    total=3.0,
)


def fixed_clock() -> None:
    """Lets the steps be measured, and replaces what the clock said: 15 s are left for steps."""
    measure = budgets.measure

    def measured(*arguments: Any) -> Measured:
        measure(*arguments)
        return MEASURED

    budgets.MOST_SECONDS = 0.01
    budgets.measure = measured


def cooled(lab: Lab) -> dict[str, Any]:
    """A stable run, and its decays: whole, and killed in the decay."""
    results: dict[str, Any] = {}
    stable = lab.folder / "stable"
    assert lab.run("stable", ONE, *WSD, *KEPT) == [0], lab.log("stable").read_text()
    begin = (f"from_run={stable / 'run'}", f"from_step={BEGIN}", *WSD, *KEPT)
    for case in (ONE, TWO_RANKS):
        overrides = (*begin, "max_steps=11")
        whole = lab.folder / f"whole{case.ranks}"
        assert set(lab.run(whole.name, case, *overrides)) == {0}, lab.log(whole.name).read_text()
        for step in (BEGIN, BEGIN + 3):
            name = f"killed{case.ranks}-{step}"
            moment = Moment("after backward", step, 0, rank=case.ranks - 1)
            codes = lab.run(name, case, *overrides, *moment.overrides())
            codes += lab.run(name, case, *overrides)
            results[name] = {
                "codes": codes,
                "differences": differences(lab.folder / name, whole),
                "log": lab.log(name).read_text(),
            }
    return results


def budget(lab: Lab) -> dict[str, Any]:
    """Runs with a budget, which are compared with runs of the steps that were fixed."""
    results: dict[str, Any] = {}
    for case in (ONE, TWO_RANKS):
        equal = lab.folder / f"steps{case.ranks}"
        codes = lab.run(equal.name, case, f"max_steps={BUDGET_STEPS}")
        for name, moments in (
            (f"budget{case.ranks}", ([],)),
            (f"budget{case.ranks}-killed", (Moment("batch begins", 6).overrides(), [])),
            (f"budget{case.ranks}-at-once", (Moment("batch begins", 0).overrides(), [])),
        ):
            for moment in moments:
                codes += lab.run(name, case, *BUDGET, *moment, patches=(fixed_clock,))
            record = json.loads((lab.folder / name / "run" / "run.json").read_text())
            results[name] = {
                "codes": codes[-case.ranks :],
                "fixed": record.get("budget"),
                "differences": differences(lab.folder / name, equal),
                "steps": len(history(lab.folder / name / "run" / "metrics.csv")),
                "log": lab.log(name).read_text(),
            }
    return results


def scenarios(lab: Lab) -> dict[str, Any]:
    without_onednn()
    return {"cooled": cooled(lab), "budget": budget(lab)}


if __name__ == "__main__":
    main(scenarios)
