"""A run's folder: made once, and never touched again."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from clozekit.errors import ConfigError
from clozekit.runs import folder as module
from clozekit.runs.folder import RunFolder, is_first_process


def test_a_new_folder_has_the_configuration_and_the_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["/usr/bin/clozekit", "train", "name=a b"])
    folder = RunFolder(tmp_path / "runs" / "a")
    folder.create({"name": "é", "seed": 0, "none": None})
    assert yaml.safe_load(folder.config_file.read_text()) == {"name": "é", "seed": 0, "none": None}
    record = json.loads((folder.path / "run.json").read_text())
    assert record["command"] == "clozekit train 'name=a b'"
    assert record["packages"].keys() == set(module.RECORDED_PACKAGES)


def test_an_empty_folder_may_be_taken(tmp_path: Path) -> None:
    RunFolder(tmp_path).create({})
    assert RunFolder(tmp_path).config_file.is_file()


@pytest.mark.parametrize("is_file", [True, False])
def test_what_is_there_already_is_refused_and_left(is_file: bool, tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    if not is_file:
        taken.mkdir()
    mine = taken if is_file else taken / "notes.txt"
    mine.write_text("mine")
    with pytest.raises(ConfigError, match="taken already exists; set name to another name"):
        RunFolder(taken).create({})
    assert mine.read_text() == "mine"
    assert len(list(tmp_path.rglob("*"))) == (1 if is_file else 2)


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, True),
        ({"LOCAL_RANK": "0"}, True),
        ({"LOCAL_RANK": "1"}, False),
        ({"RANK": "2", "LOCAL_RANK": "0"}, False),
        ({"SLURM_PROCID": "1", "LOCAL_RANK": "0"}, False),
        ({"RANK": "0", "LOCAL_RANK": "0"}, True),
    ],
)
def test_the_first_process_is_known_by_its_environment(
    environment: dict[str, str], expected: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RANK", "SLURM_PROCID", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert is_first_process() is expected


def test_a_commit_that_cannot_be_told_is_null(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: object, **options: object) -> None:
        raise subprocess.TimeoutExpired("git", 10)

    monkeypatch.setattr(subprocess, "run", fail)
    assert module._commit() is None


def test_a_package_that_is_not_there_has_no_version() -> None:
    assert module._version("no-such-package-anywhere") is None


DAMAGED = [b"", b'{"id": "a1b2', b"\xff\xfe", b"[]", b"null", b"{}", b'{"id": 5, "resumed": []}']


@pytest.mark.parametrize("content", DAMAGED)
def test_a_damaged_record_is_written_anew_with_the_id_of_the_checkpoint(
    content: bytes, tmp_path: Path
) -> None:
    RunFolder(tmp_path).create({})
    (tmp_path / "run.json").write_bytes(content)
    folder = RunFolder.at(tmp_path, saved_id="a1b2c3d4")
    with pytest.warns(UserWarning, match=r"run\.json is damaged; it is renamed to run\.json\.d"):
        folder.reopen({}, "step 4 (last.ckpt)")
    record = json.loads((tmp_path / "run.json").read_text())
    assert record["id"] == "a1b2c3d4"
    assert [resumed["from"] for resumed in record["resumed"]] == ["step 4 (last.ckpt)"]
    assert (tmp_path / "run.json.damaged").read_bytes() == content


def test_a_whole_record_decides_on_the_id(tmp_path: Path) -> None:
    created = RunFolder(tmp_path)
    created.create({})
    assert RunFolder.at(tmp_path, saved_id="a1b2c3d4").id == created.id
