"""An error of the system, such as a full disk, is one sentence with the path and the reason."""

import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import clozekit.train as train_module
from clozekit.command import run_verb
from clozekit.runs.csv_history import CSVHistory
from clozekit.train import train
from clozekit.training.checkpoints import Checkpoints
from tests.corpus.made_texts import write_text
from tests.programs.commands import train_config
from tests.programs.test_late_failures import values

TOO_LONG = "has 300 bytes; a file or folder name has at most 255"
TEXT = "text=[MASK]"


@pytest.fixture(scope="module")
def run(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    train(train_config(*values(corpus, folder, "max_steps=1")))
    return folder / "run"


@contextmanager
def limited(kind: int, number: int) -> Iterator[None]:
    before = resource.getrlimit(kind)
    resource.setrlimit(kind, (number, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(kind, before)


def command(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[int, str]:
    monkeypatch.setattr(sys, "argv", ["clozekit", *arguments])
    monkeypatch.setattr(sys, "path", list(sys.path))
    capsys.readouterr()
    return run_verb(arguments[0]), capsys.readouterr().err


@pytest.mark.parametrize("file", ["metrics.csv", "results.json", "last.ckpt"])
def test_a_full_disk_is_told_with_the_file(
    file: str,
    corpus: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The limit of a file's size is an error of the system like a full disk."""
    makers: dict[str, tuple[Any, str]] = {
        "metrics.csv": (CSVHistory, "log_metrics"),
        "results.json": (train_module, "write_json"),
        "last.ckpt": (Checkpoints, "save_last"),
    }
    owner, name = makers[file]
    make = getattr(owner, name)

    def on_a_full_disk(*arguments: Any, **options: Any) -> Any:
        with limited(resource.RLIMIT_FSIZE, 4):
            return make(*arguments, **options)

    monkeypatch.setattr(owner, name, on_a_full_disk)
    code, err = command(["train", *values(corpus, tmp_path)], monkeypatch, capsys)
    assert code == 2
    assert err.count("\n") == 1 and f"/{file}" in err and "File too large" in err, err
    assert err.startswith(f"clozekit train: {tmp_path}/run/")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["train", "runs_dir={file}"], "Not a directory"),
        (
            ["train", "runs_dir=" + 300 * "a"],
            TOO_LONG,
        ),
        (["prepare", "source.path={text}", "out={file}/corpus"], "Not a directory"),
        (
            ["prepare", "source.path={text}", "out=" + 300 * "a"],
            TOO_LONG,
        ),
        (
            ["predict", "checkpoint={run}", TEXT, "output={file}/a.jsonl"],
            "Not a directory",
        ),
        (
            ["predict", "checkpoint={run}", TEXT, "output=" + 300 * "a"],
            TOO_LONG,
        ),
        (["export", "checkpoint={run}", "out={file}/model"], "Not a directory"),
        (
            ["export", "checkpoint={run}", "out=" + 300 * "a"],
            TOO_LONG,
        ),
        (["report", 300 * "a"], TOO_LONG),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else value,
)
def test_an_error_of_the_system_is_one_sentence_in_every_verb(
    arguments: list[str],
    reason: str,
    corpus: Path,
    run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    text = write_text(tmp_path / "a.txt", [["one line .", f"and {i} ."] for i in range(20)])
    places = {"file": tmp_path / "file", "run": run, "text": text}
    given = [argument.format(**places) for argument in arguments]
    if given[0] == "train":
        given = ["train", *values(corpus, tmp_path), *given[1:]]
    code, err = command(given, monkeypatch, capsys)
    assert code == 2, err
    assert err.count("\n") == 1 and err.startswith(f"clozekit {given[0]}: "), err
    assert reason in err


def test_too_many_open_files_are_one_sentence(
    corpus: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with limited(resource.RLIMIT_NOFILE, 3):
        code, err = command(["train", *values(corpus, tmp_path)], monkeypatch, capsys)
    assert code == 2
    assert err.count("\n") == 1 and "Too many open files" in err, err
