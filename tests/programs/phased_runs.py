"""Runs in two phases of length, whole and killed, in children of one process; see `test_phases`."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from tests.harness import cases
from tests.harness.cases import MAX_STEPS, Case
from tests.harness.comparing import differences, history
from tests.harness.killing import Moment, read_records
from tests.programs.forked import ONE, TWO_RANKS, Lab, main, without_onednn

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

MIXED_KILLED_AT = {
    "in the last step of the first phase": Moment("before backward", 3, 0),
    "where only masks and weights change": Moment("batch begins", 7),
    "in the first step of the last phase": Moment("after backward", 11, 0),
}
"""When a run of four phases on a mixture is killed: its phases begin at the steps 4, 7 and 11."""

MIXED_SIZES = (4,) * 4 + (8,) * 10
"""The global batch of each of its steps."""

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


def mixed(lab: Lab, task: str, micro_batch: int, *more: str) -> tuple[str, ...]:
    """Gives the overrides of a run of four phases on a mixture of two corpora."""
    return (
        f"data.path={{farm: {{path: {lab.data / 'corpus'}, weight: 3}}, "
        f"sea: {{path: {lab.data / 'sea'}}}}}",
        "data.phases=[{ratio: 0.3, max_seq_length: 16, global_batch_size: 4}, "
        "{ratio: 0.2, max_seq_length: 16, masked_lm_prob: 0.3}, "
        "{ratio: 0.3, max_seq_length: 16, weights: {sea: 2}}, {ratio: 0.2, micro_batch_size: 2}]",
        f"micro_batch_size={micro_batch}",
        "callbacks.checkpoints.every_n_steps=1",
        f"task={task}",
        f"data={task}",
        *more,
    )


def on_a_mixture(lab: Lab) -> dict[str, Any]:
    """Runs on a mixture: shared out, and killed around changes of phases."""
    given = [o for o in cases.prepare_overrides(lab.data) if "vocab_size" not in o]
    lab.prepare(
        *given,
        f"source.path={lab.data / 'sea.txt'}",
        f"out={lab.data / 'sea'}",
        "tokenizer=existing",
        f"tokenizer.path={lab.data / 'corpus' / 'tokenizer.json'}",
    )
    results: dict[str, Any] = {"killed": {}}
    shapes = {"1 rank": (ONE, 4), "2 ranks": (TWO_RANKS, 2)}
    for name, (case, micro_batch) in shapes.items():
        folder = lab.folder / f"mixed {name}"
        codes = lab.run(folder.name, case, *mixed(lab, "pretraining", micro_batch, *EXACT))
        assert set(codes) == {0}, lab.log(folder.name).read_text()
        results[name] = told(folder)
    for task in TASKS:
        whole = lab.folder / f"mixed {task} whole"
        codes = lab.run(whole.name, ONE, *mixed(lab, task, 4))
        assert codes == [0], lab.log(whole.name).read_text()
        for when, moment in MIXED_KILLED_AT.items():
            name = f"mixed {task} killed {when}"
            codes = lab.run(name, ONE, *mixed(lab, task, 4), *moment.overrides())
            codes += lab.run(name, ONE, *mixed(lab, task, 4))
            results["killed"][f"{task} {when}"] = {
                "codes": codes,
                "differences": differences(lab.folder / name, whole),
                "log": lab.log(name).read_text(),
            }
    results["log"] = lab.log("mixed 1 rank").read_text()
    results["columns"] = sorted(history(whole / "run" / "metrics.csv")[0])
    return results


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
    without_onednn()
    return {
        "shared out": shared_out(lab),
        "killed": {task: killed(lab, task) for task in TASKS},
        "longer": longer(lab),
        "mixed": on_a_mixture(lab),
    }


if __name__ == "__main__":
    main(scenarios)
