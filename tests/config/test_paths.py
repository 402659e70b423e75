"""Which paths a configuration can have."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from clozekit.config.data import CorpusDataConfig
from clozekit.config.paths import check_out, checked_path
from clozekit.config.predict import PredictConfig
from clozekit.config.train import TrainConfig
from clozekit.errors import ConfigError
from tests.config.test_train import values


@pytest.fixture(autouse=True)
def home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ("~/x.csv", "/home/me/x.csv"),
        ("~", "/home/me"),
        ("~nobody-of-this-name/x", "~nobody-of-this-name/x"),
        ("a~", "a~"),
        ("data (1)/[x] 数据.csv", "data (1)/[x] 数据.csv"),
        ("user/name", "user/name"),
    ],
)
def test_a_path_is_taken_as_it_is_but_for_the_home_folder(given: str, path: str) -> None:
    assert checked_path(given) == path


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("", "not empty"),
        ("a\0b", "a character that a path cannot have"),
        ("\udcff.csv", "a character that a path cannot have"),
        ("x" * 256, "has 256 bytes"),
        ("é" * 128 + "/y", "has 256 bytes"),
        ("x/" * 2500, "more than 4095 bytes"),
    ],
)
def test_a_path_that_no_file_system_has_is_refused(given: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        checked_path(given)


def test_the_home_folder_is_meant_in_every_path_of_a_run() -> None:
    checkpoints = {"_target_": "a.Checkpoints", "dirpath": "~/runs/first/checkpoints"}
    given: dict[str, Any] = {
        "runs_dir": "~/runs",
        "resume": "~/old.ckpt",
        "encoder": {"pretrained": "~/model"},
        "data": {"_target_": "a.Data", "train": "~/a.csv", "tokenizer": "~/t.json", "name": "~"},
        "callbacks": {"checkpoints": checkpoints, "progress": None},
    }
    config = TrainConfig.model_validate(values(**given))
    assert config.runs_dir == Path("/home/me/runs")
    assert config.resume == "/home/me/old.ckpt"
    assert config.encoder.pretrained == "/home/me/model"
    assert config.data.arguments() == {
        "_target_": "a.Data",
        "train": "/home/me/a.csv",
        "tokenizer": "/home/me/t.json",
        "name": "~",
    }
    assert config.callbacks["checkpoints"] is not None
    dirpath = config.callbacks["checkpoints"].arguments()["dirpath"]
    assert dirpath == "/home/me/runs/first/checkpoints"


def test_python_callers_may_pass_a_path() -> None:
    assert PredictConfig(checkpoint=Path("a"), text="b").checkpoint == "a"  # type: ignore[arg-type]
    sizes = {"seed": 0, "global_batch_size": 1, "micro_batch_size": 1}
    assert CorpusDataConfig.model_validate({"path": Path("~/c"), **sizes}).path == "/home/me/c"
    with pytest.raises(ValidationError):
        PredictConfig(checkpoint=3, text="b")  # type: ignore[arg-type]


def test_a_folder_that_cannot_be_replaced_is_refused_early(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for out in (Path(), tmp_path):
        with pytest.raises(ConfigError, match=r"is the current folder; use a new folder in it"):
            check_out(out)
    (tmp_path / "mount").mkdir()
    check_out(tmp_path / "mount")
    monkeypatch.setattr(Path, "is_mount", lambda _: True)
    with pytest.raises(ConfigError, match=r"out=mount is a mount point; .* such as mount/model"):
        check_out(Path("mount"))
