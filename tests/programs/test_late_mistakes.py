"""Mistakes that are only noticed when classes are made are told in one line too."""

import sys
from pathlib import Path

import pytest

from clozekit.command import run_verb
from clozekit.errors import ConfigError
from tests.programs.commands import QUIET, TINY
from tests.programs.in_process import invoke

LATER_MISTAKES = {
    "a mode that takes the worst for the best": (
        "callbacks.checkpoints.monitor=validation/loss callbacks.checkpoints.mode=max",
        ["callbacks.checkpoints.mode=max would take the worst validation/loss for the best"],
    ),
    "data for a task": (
        "task._target_=clozekit.tasks.divergence.DivergenceGuard",
        ["task (clozekit.tasks.divergence.DivergenceGuard)", "encoder"],
    ),
    "a class of another kind": (
        "+callbacks.x._target_=builtins.dict",
        ["callbacks.x._target_=builtins.dict is not a lightning.pytorch.callbacks"],
    ),
    "an optimizer of another kind": (
        "optimizer._target_=builtins.dict",
        ["optimizer", "builtins.dict"],
    ),
    "a value of another type for the optimizer": (
        "optimizer.betas=5",
        ["optimizer.betas=5: it should be a list of two numbers of at least 0 and less than 1"],
    ),
    "an optimizer whose package is missing": (
        "optimizer._target_=lion_of_nowhere.Lion",
        ["optimizer._target_=lion_of_nowhere.Lion", "no package or file lion_of_nowhere; install"],
    ),
    "a metric that is not there": (
        "callbacks.checkpoints.monitor=val_loss callbacks.checkpoints.mode=min",
        [
            "callbacks.checkpoints.monitor=val_loss is not a validation metric",
            "the metrics are validation/loss, validation/mlm_accuracy, validation/mlm_loss",
        ],
    ),
    "a metric of early stopping that is not there": (
        "callbacks=[early_stopping,progress] callbacks.early_stopping.monitor=validation/accuracy "
        "callbacks.early_stopping.mode=max",
        ["callbacks.early_stopping.monitor=validation/accuracy is not a validation metric"],
    ),
    "a class that is not there": ("task._target_=nowhere.Task", ["task", "nowhere"]),
    "an argument that the trainer does not take": ("+trainer.speed=9", ["trainer", "speed"]),
    "an argument that the task does not take": ("+task.depth=9", ["task", "depth"]),
    "an optimizer's argument": ("+optimizer.momentums=1", ["optimizer", "momentums"]),
    "a value that the optimizer refuses": ("optimizer.betas=[2,3]", ["optimizer", "beta"]),
    "a pretrained encoder that is not there": ("encoder.pretrained=nowhere", ["nowhere"]),
    "another vocabulary than the tokenizer's": (
        "encoder.vocab_size=9",
        ["encoder.vocab_size=9", "ids"],
    ),
    "a micro-batch without a sequence": (
        "trainer=ddp_cpu global_batch_size=1",
        ["global_batch_size=1", "micro-batch empty", "2 processes"],
    ),
}


@pytest.mark.parametrize("mistake", LATER_MISTAKES)
def test_a_mistake_that_only_the_classes_know_is_told_in_one_line_too(
    mistake: str,
    corpus: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    overrides, parts = LATER_MISTAKES[mistake]
    code, err = _train(corpus, tmp_path, monkeypatch, capsys, *overrides.split())
    assert code == 2
    assert err.count("\n") == 1 and err.startswith("clozekit train: "), err
    for part in parts:
        assert part in err
    assert not (tmp_path / "runs" / "mine").exists(), "the name stays free for a second try"


def test_an_existing_run_is_refused_and_left_as_it_is(
    corpus: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = tmp_path / "runs" / "mine"
    run.mkdir(parents=True)
    (run / "metrics.csv").write_text("step\n1\n")
    code, err = _train(corpus, tmp_path, monkeypatch, capsys)
    assert code == 2
    assert err == "clozekit train: the run runs/mine already exists; set name to another name\n"
    assert [path.name for path in run.iterdir()] == ["metrics.csv"]
    assert (run / "metrics.csv").read_text() == "step\n1\n"


def _train(
    corpus: Path,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *overrides: str,
) -> tuple[int, str]:
    """Runs the verb in this process; gives its exit code and what it wrote to stderr."""
    monkeypatch.chdir(folder)
    arguments = ["name=mine", f"data.path={corpus}", "max_steps=1", *TINY, *QUIET, *overrides]
    monkeypatch.setattr(sys, "argv", ["clozekit", "train", *arguments])
    monkeypatch.setattr(sys, "path", list(sys.path))
    code = run_verb("train")
    return code, capsys.readouterr().err


def test_a_run_that_fails_before_its_first_step_leaves_no_folder(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ConfigError("the server is away")

    monkeypatch.setattr("clozekit.runs.csv_history.CSVHistory.log_hyperparams", fail)
    overrides = ("name=mine", f"data.path={corpus}", "max_steps=1", *TINY, *QUIET)
    for more in ((), ("resume=auto",)):
        ended = invoke("train", *overrides, *more, folder=tmp_path)
        assert ended.messages == ["clozekit train: the server is away"]
        assert not (tmp_path / "runs" / "mine").exists()
