"""Runs in two phases of length, whole and killed, in children of one process; see `test_phases`."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from tests.harness.cases import MAX_STEPS, Case
from tests.harness.comparing import differences, history
from tests.harness.killing import Moment, read_records
from tests.programs.forked import ONE, TWO_RANKS, Lab, main

FIRST_STEPS = 7
"""The steps of the first phase, half of all."""

EXACT = (
    "trainer.precision=64-true",
    "encoder.hidden_dropout_prob=0",
    "encoder.attention_probs_dropout_prob=0",
)

KILLED_AT = {
    "before the change": Moment("after backward", FIRST_STEPS - 2, 0),
    "in the last step before it": Moment("before backward", FIRST_STEPS - 1, 1),
    "at the change": Moment("batch begins", FIRST_STEPS),
    "in the first step after it": Moment("after backward", FIRST_STEPS, 2),
    "after it": Moment("batch ends", FIRST_STEPS + 3, 3),
}
"""When a run is killed, of which every step is saved."""

TASKS = {
    "pretraining": tuple(KILLED_AT),
    "masked_lm": ("at the change", "in the first step after it"),
}
"""Its moments for each task; away from the change the tasks differ in nothing that phases do."""


def phased(first_micro_batch: int, micro_batch: int, *more: str) -> tuple[str, ...]:
    """Gives the overrides of a run with 16 tokens a sample, then 32."""
    first = f"ratio: 0.5, max_seq_length: 16, micro_batch_size: {first_micro_batch}"
    return (
        f"data.first_phase={{{first}}}",
        f"micro_batch_size={micro_batch}",
        "callbacks.checkpoints.every_n_steps=1",
        *more,
    )


def told(folder: Path) -> dict[str, Any]:
    """Tells what a run did: every step's samples, micro-batches and loss, and its validations."""
    samples: list[set[tuple[int, ...]]] = [set() for _ in range(MAX_STEPS)]
    micro_steps = [0] * MAX_STEPS
    for (_, step, micro_step), record in read_records(folder):
        samples[step] |= {tuple(sample) for sample in record["samples"]}
        micro_steps[step] = max(micro_steps[step], micro_step + 1)
    rows = history(folder / "run" / "metrics.csv")
    last = torch.load(folder / "run" / "checkpoints" / "last.ckpt", weights_only=True)
    return {
        "samples": [sorted(map(list, of_step)) for of_step in samples],
        "micro_steps": micro_steps,
        "losses": [float(row["train/loss"]) for row in rows if row["train/loss"]],
        "validations": {
            row["step"]: float(row["validation/loss"]) for row in rows if row["validation/loss"]
        },
        "optimizer_steps": last["global_step"],
    }


def shared_out(lab: Lab) -> dict[str, Any]:
    """The same run in other micro-batches and on two processes, in double precision."""
    shapes: dict[str, tuple[Case, tuple[str, ...]]] = {
        "at once": (ONE, phased(8, 8, *EXACT)),
        "1 and 4": (ONE, phased(8, 2, *EXACT)),
        "4 and 2": (ONE, phased(2, 4, *EXACT)),
        "2 ranks": (TWO_RANKS, phased(4, 2, *EXACT)),
    }
    results = {}
    for name, (case, overrides) in shapes.items():
        assert set(lab.run(name, case, *overrides)) == {0}, lab.log(name).read_text()
        results[name] = told(lab.folder / name)
    codes = lab.run("moved", ONE, *phased(8, 2, *EXACT), *Moment("batch begins", 5).overrides())
    codes += lab.run("moved", TWO_RANKS, *phased(4, 2, *EXACT))
    assert codes == [-9, 0, 0], lab.log("moved").read_text()
    results["1 rank, then 2"] = told(lab.folder / "moved")
    return results


def killed(lab: Lab, task: str) -> dict[str, Any]:
    """A run with dropout, killed around the change of phases."""
    case, overrides = replace(ONE, task=task), phased(4, 2)
    whole = lab.folder / f"{task} whole"
    assert lab.run(whole.name, case, *overrides) == [0], lab.log(whole.name).read_text()
    results = {}
    for when in TASKS[task]:
        moment = KILLED_AT[when]
        name = f"{task} killed {when}"
        codes = lab.run(name, case, *overrides, *moment.overrides())
        codes += lab.run(name, case, *overrides)
        results[when] = {
            "codes": codes,
            "differences": differences(lab.folder / name, whole),
            "log": lab.log(name).read_text(),
        }
    return results


def longer(lab: Lab) -> dict[str, Any]:
    """A run that ended in its second phase, and by its new length is in the first again."""
    codes = lab.run("longer", ONE, *phased(4, 2, "max_steps=6"))
    codes += lab.run("longer", ONE, *phased(4, 2))
    return {"codes": codes, **told(lab.folder / "longer")}


def scenarios(lab: Lab) -> dict[str, Any]:
    return {
        "shared out": shared_out(lab),
        "killed": {task: killed(lab, task) for task in TASKS},
        "longer": longer(lab),
    }


if __name__ == "__main__":
    main(scenarios)
