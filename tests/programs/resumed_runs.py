"""Runs that were killed and go on as they were or changed; see `test_resume`."""

import shutil
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import torch

from clozekit.runs.metrics_file import read_rows
from clozekit.training.wandb import offline_history
from tests.harness import killing
from tests.harness.cases import MAX_STEPS, Case, prepare_overrides
from tests.harness.comparing import TIMING, differences, history, same
from tests.harness.killing import Moment, read_records
from tests.programs.forked import ONE, TWO_RANKS, Lab, main
from tests.programs.full_disk import FullDisk

MOMENTS = {
    "in an accumulation window": lambda case: Moment("after backward", 9, case.accumulation - 1),
    "in a validation": lambda case: Moment("validation batch", 12),
    "in a checkpoint's writing": lambda case: Moment("file half written", 8),
    "between two files of a step": lambda case: Moment("file renamed", 6),
    "between epochs": lambda case: Moment("batch begins", 5, rank=case.ranks - 1),
    "in the second epoch": lambda case: Moment("before backward", 7, rank=case.ranks - 1),
}
"""When a run is killed; an epoch is five or six steps."""

FACTORS: tuple[tuple[Any, ...], ...] = (
    ("pretraining", "classification"),
    ((0, True), (2, False)),
    (1, 2),
    (1, 2),
    tuple(MOMENTS),
)
"""Task, workers and whether they persist, ranks, accumulation, moment."""

NO_DROPOUT = ("encoder.hidden_dropout_prob=0", "encoder.attention_probs_dropout_prob=0")
DOUBLE = "trainer.precision=64-true"


def pairwise() -> list[tuple[Any, ...]]:
    """Chooses rows so that any two values of two factors meet in one of them."""
    places = range(len(FACTORS))

    def pairs(row: tuple[Any, ...]) -> set[tuple[Any, ...]]:
        return {(i, row[i], j, row[j]) for i in places for j in places if i < j}

    candidates = list(product(*FACTORS))
    missing = set().union(*map(pairs, candidates))
    chosen = []
    while missing:
        best = max(candidates, key=lambda row: len(pairs(row) & missing))
        chosen.append(best)
        missing -= pairs(best)
    return chosen


def name_of(row: tuple[Any, ...]) -> str:
    task, (workers, persistent), ranks, accumulation, moment = row
    kind = "brief " if workers and not persistent else ""
    return f"{task}; {workers} {kind}workers; {ranks} ranks; {accumulation} micro-batches; {moment}"


def killed_and_resumed(lab: Lab, number: int, row: tuple[Any, ...]) -> dict[str, Any]:
    task, (workers, persistent), ranks, accumulation, moment = row
    case = Case(task, workers, persistent, ranks, accumulation)
    reference = replace(case, workers=0, persistent=True)
    if not (lab.folder / reference.name).exists():
        assert set(lab.run(reference.name, reference)) == {0}
    name = f"pair{number}"
    codes = lab.run(name, case, *MOMENTS[moment](case).overrides())
    resumed = lab.run(name, case)
    return {
        "killed": -9 in codes,
        "resumed": resumed,
        "differences": differences(lab.folder / name, lab.folder / reference.name),
        "log": lab.log(name).read_text(),
    }


def broken(lab: Lab) -> dict[str, Any]:
    """The same with masks from a global generator, which has to be noticed."""
    patches = (killing.draw_masks_from_a_global_generator,)
    for name in ("broken1", "broken2"):
        lab.run(name, ONE, patches=patches)
    lab.run("broken", ONE, *Moment("batch begins", 9).overrides(), patches=patches)
    lab.run("broken", ONE, patches=patches)
    whole = lab.folder / "broken1"
    return {
        "repeated": differences(lab.folder / "broken2", whole),
        "resumed": differences(lab.folder / "broken", whole),
    }


def modern(lab: Lab) -> dict[str, Any]:
    """The encoder with the parts of ModernBERT, on two ranks with dropout."""
    parts = (
        *("encoder=modern_tiny", "encoder.hidden_size=32", "encoder.intermediate_size=48"),
        *("encoder.local_attention=6", "encoder.hidden_dropout_prob=0.1"),
        "encoder.attention_probs_dropout_prob=0.1",
    )
    whole = lab.run("modern-whole", TWO_RANKS, *parts)
    killed = lab.run("modern", TWO_RANKS, *parts, *Moment("before backward", 7).overrides())
    resumed = lab.run("modern", TWO_RANKS, *parts)
    return {
        "whole": whole,
        "killed": -9 in killed,
        "resumed": resumed,
        "differences": differences(lab.folder / "modern", lab.folder / "modern-whole"),
        "log": lab.log("modern").read_text(),
    }


def muon(lab: Lab) -> dict[str, Any]:
    """Muon in pretraining on two ranks, and in fine-tuning with a rate for each layer."""
    labelled = Case("classification", 0, True, 1, 2)
    layerwise = ("optimizer=muon", "fine_tuning.layerwise_lr_decay=0.8")
    results = {}
    for kind, case, given in (
        ("pretraining", TWO_RANKS, ("optimizer=muon",)),
        ("fine-tuning", labelled, layerwise),
    ):
        name = f"muon-{kind}"
        whole = lab.run(f"{name}-whole", case, *given)
        killed = lab.run(name, case, *given, *Moment("before backward", 9).overrides())
        results[kind] = {
            "whole": whole,
            "killed": -9 in killed,
            "resumed": lab.run(name, case, *given),
            "differences": differences(lab.folder / name, lab.folder / f"{name}-whole"),
            "log": lab.log(name).read_text(),
        }
    return results


def elastic(lab: Lab) -> dict[str, Any]:
    """Saved on some processes and micro-batches, resumed on others; without dropout."""
    four = replace(ONE, accumulation=4)
    changes = {
        "two ranks, then one": (TWO_RANKS, ONE),
        "one rank, then two": (ONE, TWO_RANKS),
        "two micro-batches, then four": (ONE, four),
        "no workers, then two": (ONE, replace(ONE, workers=2)),
    }
    exact = (*NO_DROPOUT, DOUBLE)
    lab.run("elastic", ONE, *exact)
    results = {}
    for number, (change, (before, after)) in enumerate(changes.items()):
        name = f"elastic{number}"
        codes = lab.run(name, before, *exact, *Moment("batch begins", 9).overrides())
        results[change] = {
            "killed": -9 in codes,
            "resumed": lab.run(name, after, *exact),
            "samples": _samples(lab.folder / name),
            "losses": _losses(lab.folder / name),
        }
    return {
        "samples": _samples(lab.folder / "elastic"),
        "losses": _losses(lab.folder / "elastic"),
        "changes": results,
    }


def _samples(folder: Path) -> list[list[list[int]]]:
    """Lists every step's samples, of all ranks and micro-batches."""
    steps: list[set[tuple[int, ...]]] = [set() for _ in range(MAX_STEPS)]
    for (_, step, _), record in read_records(folder):
        steps[step] |= {tuple(sample) for sample in record["samples"]}
    return [sorted(map(list, samples)) for samples in steps]


def _losses(folder: Path) -> list[float]:
    rows = history(folder / "run" / "metrics.csv")
    return [float(row["train/loss"]) for row in rows if row["train/loss"]]


def changed(lab: Lab) -> dict[str, Any]:
    """A run that ended, resumed with something else; each time from a copy."""
    lab.run("short", ONE, "max_steps=8")
    other = "Another sentence .\nAnd one more .\n\nAnd a third one .\nAnd a fourth .\n\n"
    (lab.folder / "other.csv").write_text("text,label\n" + "a b,x\nc d,y\n" * 20)
    labelled = Case("classification", 0, True, 1, 1)
    lab.run("labelled", labelled, "max_steps=4")
    changes = {
        "longer": ("short", ONE, []),
        "another global batch": ("short", ONE, ["global_batch_size=16"]),
        "another encoder": ("short", ONE, ["encoder.intermediate_size=32"]),
        "another corpus": ("short", ONE, [f"data.path={_other_corpus(lab, other)}"]),
        "other rows": ("labelled", labelled, [f"data.train={lab.folder / 'other.csv'}"]),
    }
    results = {}
    for change, (begun, case, overrides) in changes.items():
        name = change.replace(" ", "-")
        shutil.copytree(lab.folder / begun, lab.folder / name)
        lab.log(name).unlink()
        results[change] = {
            "codes": lab.run(name, case, *overrides),
            "log": lab.log(name).read_text(),
            "history": history(lab.folder / name / "run" / "metrics.csv"),
        }
    return results


def _other_corpus(lab: Lab, text: str) -> Path:
    """A corpus of another text with the same vocabulary."""
    data = lab.folder / "other"
    data.mkdir()
    content = (lab.data / "corpus.txt").read_text()
    (data / "corpus.txt").write_text(content.replace("\n\n", f"\n\n{text}", 1))
    overrides = [o for o in prepare_overrides(data) if not o.startswith("tokenizer.")]
    tokenizer = lab.data / "corpus" / "tokenizer.json"
    lab.prepare(*overrides, "tokenizer=existing", f"tokenizer.path={tokenizer}")
    return data / "corpus"


def named(lab: Lab) -> dict[str, Any]:
    """Resumed from a checkpoint that is named: of another run, and an older one of the same."""
    whole = lab.folder / ONE.name
    older = whole / "run" / "checkpoints" / "step-12.ckpt"
    codes = lab.run("fork", ONE, f"resume={older}")
    shutil.copytree(whole, lab.folder / "back")
    older = lab.folder / "back" / "run" / "checkpoints" / "step-12.ckpt"
    codes += lab.run("back", ONE, f"resume={older}")
    weights = [
        torch.load(folder / "run" / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        for folder in (whole, lab.folder / "fork", lab.folder / "back")
    ]
    return {
        "codes": codes,
        "equal": [same(dict(weights[0]), dict(other)) for other in weights[1:]],
        "later": sorted(path.name for path in older.parent.glob("*.later")),
        "history": history(lab.folder / "back" / "run" / "metrics.csv")
        == history(whole / "run" / "metrics.csv"),
        "log": lab.log("back").read_text(),
    }


def full_disk(lab: Lab) -> dict[str, Any]:
    """The disk is full before the checkpoint of step 8."""
    overrides = [
        f"+callbacks.full_disk._target_={FullDisk.__module__}.{FullDisk.__name__}",
        "+callbacks.full_disk.step=7",
    ]
    results = {}
    for case in (ONE, TWO_RANKS):
        name = f"full{case.ranks}"
        codes = lab.run(name, case, *overrides)
        folder = lab.folder / name / "run" / "checkpoints"
        files = sorted(path.name for path in folder.iterdir())
        step = torch.load(folder / "last.ckpt", weights_only=True)["global_step"]
        log = lab.log(name).read_text()
        resumed = lab.run(name, case)
        results[name] = {
            "codes": codes,
            "files": files,
            "step": step,
            "log": log,
            "resumed": resumed,
            "differences": differences(lab.folder / name, lab.folder / case.name),
        }
    return results


def wandb_parts(lab: Lab) -> dict[str, Any]:
    """Killed twice with W&B on; its files are read back."""
    logger = (
        "logger.wandb={_target_: clozekit.training.wandb.WandbLogger, project: test, "
        f"name: run, save_dir: {lab.folder}/wandb/run, mode: offline}}"
    )
    codes = [
        lab.run("wandb", ONE, logger, *moment)
        for moment in (
            Moment("batch begins", 7).overrides(),
            Moment("validation ends", 12).overrides(),
            [],
        )
    ]
    folder = lab.folder / "wandb" / "run"
    files = sorted((folder / "wandb").glob("offline-run-*/run-*.wandb"))
    ids = {file.stem.removeprefix("run-") for file in files}
    rows = [row for run_id in ids for row in offline_history(folder / "wandb", run_id)]
    return {
        "codes": codes,
        "parts": len(files),
        "ids": sorted(ids),
        "logged": [
            [row["trainer/global_step"], name, repr(float(value))]
            for row in rows
            for name, value in row.items()
            if "/" in name and name != "trainer/global_step" and name not in TIMING
        ],
        "history": history(folder / "metrics.csv"),
    }


def scenarios(lab: Lab) -> dict[str, Any]:
    results: dict[str, Any] = {
        "pairs": {
            name_of(row): killed_and_resumed(lab, number, row)
            for number, row in enumerate(pairwise())
        }
    }
    for case in (ONE, TWO_RANKS):
        if not (lab.folder / case.name).exists():
            lab.run(case.name, case)
    file = lab.folder / ONE.name / "run" / "metrics.csv"
    results["checkpoint_cost"] = [row for row in read_rows(file) if row["train/loss"]]
    for scenario in (broken, modern, muon, elastic, changed, named, full_disk, wandb_parts):
        results[scenario.__name__] = scenario(lab)
    return results


if __name__ == "__main__":
    main(scenarios)
