"""Callbacks of the configuration: what would fail or do nothing in training is refused before it."""

from pathlib import Path
from typing import Any

import pytest

from clozekit.config.train import TrainConfig
from clozekit.errors import ConfigError
from clozekit.train import train
from clozekit.training.callbacks import check_folders, make_callbacks
from clozekit.training.checkpoints import Checkpoints
from tests.programs.commands import QUIET, TINY, train_config

LIGHTNINGS = "lightning.pytorch.callbacks"


def configured(corpus: Any, folder: Path, *more: str) -> TrainConfig:
    return train_config(
        *("name=x", f"runs_dir={folder}", f"data.path={corpus}", *TINY, *QUIET),
        *("global_batch_size=4", "micro_batch_size=4", "trainer.limit_val_batches=1"),
        *(("max_steps=2",) if not any(o.startswith("max_") for o in more) else ()),
        *more,
    )


@pytest.mark.parametrize("folder", ["elsewhere", "/proc/x", "{runs}/x"])
def test_checkpoints_of_a_run_are_in_its_own_folder(folder: str, tmp_path: Path) -> None:
    folder = folder.format(runs=tmp_path)
    config = configured("a", tmp_path, f"callbacks.checkpoints.dirpath={folder}")
    with pytest.raises(ConfigError) as caught:
        make_callbacks(config)
    assert str(caught.value) == (
        f"callbacks.checkpoints.dirpath={folder}: it should be {tmp_path}/x/checkpoints, where "
        "resume, from_run and the verbs look for the checkpoints of this run; set runs_dir for "
        "another place"
    )


def test_the_runs_folder_may_be_written_in_another_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other").mkdir()
    dirpath = f"callbacks.checkpoints.dirpath={tmp_path}/other/../runs/x/checkpoints"
    assert "checkpoints" in make_callbacks(configured("a", Path("runs"), dirpath))


@pytest.mark.parametrize("kind", ["folder", "file", "below a file"])
def test_a_folder_that_cannot_be_written_is_refused(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    folder = {"folder": "/proc/x", "file": str(file), "below a file": f"{file}/a"}[kind]
    with pytest.raises(ConfigError, match=rf"callbacks\.mine\.dirpath={folder} cannot be written"):
        check_folders({"mine": Checkpoints(folder)})


def test_folders_are_tried_before_training(corpus: Path, tmp_path: Path) -> None:
    mine = f"{{_target_: {LIGHTNINGS}.ModelCheckpoint, dirpath: /proc/x}}"
    config = configured(corpus, tmp_path, f"+callbacks.mine={mine}")
    with pytest.raises(ConfigError, match=r"callbacks\.mine\.dirpath=/proc/x cannot be written: "):
        train(config)
    assert not (tmp_path / "x").exists()


def test_a_folder_that_can_be_written_is_left_empty(tmp_path: Path) -> None:
    check_folders({"mine": Checkpoints(str(tmp_path / "a" / "b"))})
    assert list((tmp_path / "a" / "b").iterdir()) == []
