"""Every fine-tuning task through every verb, in children of one process; see `test_tasks`."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import torch

# Imported once, for all children.
from clozekit import evaluate, export, predict  # noqa: F401
from clozekit.tasks import (  # noqa: F401
    embedding,
    multiple_choice,
    question_answering,
    question_answering_bio,
    regression,
    tagging,
)
from tests.harness import running
from tests.harness.comparing import history, same
from tests.harness.killing import Moment
from tests.programs.commands import TINY, train_config
from tests.programs.forked import Lab, main, without_onednn
from tests.programs.task_files import FILES, OVERRIDES, group_of, write_task, write_unlabelled

LENGTH = 10
EXACT = (
    "trainer.precision=64-true",
    "encoder.hidden_dropout_prob=0",
    "encoder.attention_probs_dropout_prob=0",
    # The head's dropout is seeded by the process; without any, processes change nothing.
    "++task.classifier_dropout=0",
)
KILLED_AT = Moment("before backward", 6)


def clozekit(folder: Path, *arguments: str) -> int:
    """Runs a command in a folder; gives its exit code. What it prints is in `log.txt`.

    Curves are left out: they take as long as all else of such a run.
    """

    def work() -> None:
        import os

        from clozekit.cli import main as command

        os.chdir(folder)
        torch.set_num_threads(1)
        sys.argv = ["clozekit", *arguments]
        with mock.patch("clozekit.train.plot_curves"):
            command()

    return running.fork_and_wait(work, folder / "log.txt")


def training(lab: Lab, task: str, train: Path, validation: Path, *more: str) -> Sequence[str]:
    return (
        "train",
        f"task={group_of(task)}",
        f"data={group_of(task)}",
        *TINY,
        *OVERRIDES.get(task, ()),
        f"data.train={train}",
        f"data.validation={validation}",
        f"data.tokenizer={lab.data / 'corpus' / 'tokenizer.json'}",
        f"max_steps={LENGTH}",
        "global_batch_size=8",
        "micro_batch_size=4",
        "validate_every_n_steps=5",
        "callbacks.checkpoints.every_n_steps=2",
        "callbacks.progress=null",
        "logger=csv",
        "optimizer.lr=3e-3",
        *more,
    )


def on_processes(lab: Lab, task: str, ranks: int, train: Path, validation: Path) -> int:
    """Trains on so many processes in double precision; gives the sum of their exit codes."""
    # A span of an answer has no dropout of its own, nor has a vector.
    exact = EXACT[:-1] if task in ("question_answering", "embedding") else EXACT
    arguments = training(lab, task, train, validation, *exact)[1:]
    processes = ("trainer=ddp_cpu", f"trainer.devices={ranks}", "micro_batch_size=8")
    folder = lab.folder / task
    config = train_config(f"name=on-{ranks}", f"runs_dir={folder}", *arguments, *processes)
    codes, _ = running.run(config, ranks, folder / "log.txt")
    return sum(codes)


def scenarios(lab: Lab) -> dict[str, Any]:
    without_onednn()
    results = {}
    for task in FILES:
        folder = lab.folder / task
        folder.mkdir()
        train, validation = (write_task(folder, task, n, seed) for n, seed in ((40, 1), (15, 2)))
        rows = write_unlabelled(folder / "rows.jsonl", task, validation)
        command = training(lab, task, train, validation)
        checkpoint = "checkpoint=runs/killed"
        results[task] = {
            "whole": clozekit(folder, *command, "name=whole"),
            "killed": clozekit(folder, *command, "name=killed", *KILLED_AT.overrides()),
            "resumed": clozekit(folder, *command, "name=killed", "resume=auto"),
            "evaluated": clozekit(
                folder, "evaluate", checkpoint, f"input={validation}", "out=eval"
            ),
            "split": clozekit(folder, "evaluate", checkpoint),
            "predicted": clozekit(
                folder, "predict", checkpoint, f"input={rows}", "output=predictions.jsonl"
            ),
            "exported": clozekit(folder, "export", checkpoint, "out=exported"),
            "on processes": [on_processes(lab, task, n, train, validation) for n in (1, 2)],
            "differences": _differences(folder / "runs" / "killed", folder / "runs" / "whole"),
            "log": (folder / "log.txt").read_text(),
        }
    return results


def _differences(run: Path, whole: Path) -> list[str]:
    found = []
    if history(run / "metrics.csv") != history(whole / "metrics.csv"):
        found.append("history")
    if (run / "results.json").read_text() != (whole / "results.json").read_text():
        found.append("results")
    for name in ("last.ckpt", "best.ckpt"):
        ours, theirs = (
            torch.load(folder / "checkpoints" / name, weights_only=True) for folder in (run, whole)
        )
        parts = ("state_dict", "optimizer_states", "lr_schedulers")
        found += [f"{name}: {part}" for part in parts if not same(ours[part], theirs[part])]
    return found


if __name__ == "__main__":
    main(scenarios)
