"""The record of W&B over several parts of a run, read back from its offline files."""

import struct
from pathlib import Path
from typing import Any

import pytest
import wandb

from clozekit.errors import ConfigError
from clozekit.training.wandb import (
    BLOCK_SIZE,
    FILE_HEADER_SIZE,
    WandbLogger,
    _records,
    logged_metrics,
    offline_history,
)


def log_part(folder: Path, rows: dict[int, dict[str, float]], earlier: Any = None) -> WandbLogger:
    """Logs rows as one process of a run does; `earlier` is what its history holds already."""
    logger = WandbLogger(save_dir=str(folder), id="abc", project="test", mode="offline")
    if earlier is not None:
        logger.fill(earlier)
    for step, metrics in rows.items():
        logger.log_metrics(metrics, step)
    logger.finalize("success")
    wandb.finish()
    wandb.teardown()  # W&B's own process writes the file, and has done so once it has ended
    return logger


def held(folder: Path) -> list[tuple[int, str, float]]:
    return [
        (row["trainer/global_step"], name, value)
        for row in offline_history(folder / "wandb", "abc")
        for name, value in row.items()
        if name.startswith("train/")
    ]


@pytest.fixture(autouse=True)
def silence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_SILENT", "true")


def test_what_is_logged_is_read_back(tmp_path: Path) -> None:
    log_part(tmp_path, {1: {"train/loss": 0.1 + 0.2}, 2: {"train/loss": float("inf")}})
    assert held(tmp_path) == [(1, "train/loss", 0.1 + 0.2), (2, "train/loss", float("inf"))]
    assert {(1, "train/loss"), (2, "train/loss")} <= logged_metrics(tmp_path / "wandb", "abc")
    assert logged_metrics(tmp_path / "wandb", "another") == set()


def test_a_resumed_part_logs_no_step_again_and_misses_none(tmp_path: Path) -> None:
    rows = {step: {"train/loss": float(step), "train/epoch": 0.0} for step in range(1, 7)}
    log_part(tmp_path, {step: rows[step] for step in (1, 2, 3, 4)})
    # The checkpoint was of step 2; the run comes by 3 and 4 again.
    log_part(tmp_path, {step: rows[step] for step in (3, 4, 5, 6)}, earlier=[(1, rows[1])])
    expected = {(step, name, value) for step in rows for name, value in rows[step].items()}
    assert set(held(tmp_path)) == expected
    assert len(held(tmp_path)) == len(expected)


def test_what_a_killed_part_has_lost_is_filled_in(tmp_path: Path) -> None:
    log_part(tmp_path, {step: {"train/loss": float(step)} for step in (1, 2, 3)})
    (file,) = (tmp_path / "wandb").glob("offline-run-*/run-abc.wandb")
    file.write_bytes(file.read_bytes()[:FILE_HEADER_SIZE])
    assert held(tmp_path) == []
    earlier = [(step, {"train/loss": float(step)}) for step in (1, 2)]
    log_part(tmp_path, {3: {"train/loss": 3.0}}, earlier)
    assert held(tmp_path) == [(step, "train/loss", float(step)) for step in (1, 2, 3)]


def test_a_server_is_not_told_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    logger = WandbLogger(save_dir=str(tmp_path), id="abc", project="test", mode="online")
    monkeypatch.setattr(WandbLogger, "log_metrics", lambda *_: pytest.fail("logged"))
    logger.fill([(1, {"train/loss": 1.0})])


def record(kind: int, content: bytes) -> bytes:
    return struct.pack("<IHB", 0, len(content), kind) + content


def test_records_that_are_cut_into_blocks_are_joined() -> None:
    header = b"h" * FILE_HEADER_SIZE
    first = BLOCK_SIZE - FILE_HEADER_SIZE - 7
    content = (
        header + record(2, b"a" * first) + record(3, b"b" * (BLOCK_SIZE - 7)) + record(4, b"c")
    )
    assert list(_records(content + record(1, b"d"))) == [
        b"a" * first + b"b" * (BLOCK_SIZE - 7) + b"c",
        b"d",
    ]


def test_a_blocks_end_too_short_for_a_record_is_passed_over() -> None:
    header = b"h" * FILE_HEADER_SIZE
    body = BLOCK_SIZE - FILE_HEADER_SIZE - 7 - 3
    content = header + record(1, b"a" * body) + b"\0\0\0" + record(1, b"b")
    assert list(_records(content)) == [b"a" * body, b"b"]


@pytest.mark.parametrize("lost", [1, 4, 8, 10])
def test_a_file_that_a_kill_cut_is_read_to_where_it_is_whole(lost: int) -> None:
    content = b"h" * FILE_HEADER_SIZE + record(1, b"one") + record(1, b"two")
    assert list(_records(content[:-lost])) == [b"one"]


class Experiment:
    """Stands in for W&B's run, of which it keeps the artifact and the end."""

    artifact: Any = None
    exit_code: int | None = None
    is_preempting = False

    def log_artifact(self, artifact: Any, aliases: list[str]) -> None:
        self.artifact, self.aliases = artifact, aliases

    def mark_preempting(self) -> None:
        self.is_preempting = True

    def finish(self, exit_code: int) -> None:
        self.exit_code = exit_code


@pytest.mark.parametrize("log_model", [True, False])
def test_checkpoints_are_an_artifact_where_asked_for(log_model: bool, tmp_path: Path) -> None:
    (tmp_path / "last.ckpt").write_bytes(b"last")
    logger = WandbLogger(save_dir=str(tmp_path), id="abc", log_model=log_model)
    experiment = logger._experiment = Experiment()  # type: ignore[assignment]
    logger.log_checkpoints([tmp_path / "last.ckpt", tmp_path / "best.ckpt"], step=3)
    if not log_model:
        assert experiment.artifact is None
        return
    assert list(experiment.artifact.manifest.entries) == ["last.ckpt"]
    assert (experiment.artifact.name, experiment.artifact.type) == ("model-abc", "model")
    assert experiment.aliases == ["latest", "step-3"]


@pytest.mark.parametrize(("exit_code", "is_preempting"), [(0, False), (1, False), (75, True)])
def test_the_end_is_told(exit_code: int, is_preempting: bool, tmp_path: Path) -> None:
    logger = WandbLogger(save_dir=str(tmp_path), id="abc")
    logger.finish(exit_code)  # never begun
    experiment = logger._experiment = Experiment()  # type: ignore[assignment]
    logger.finish(exit_code)
    assert (experiment.exit_code, experiment.is_preempting) == (exit_code, is_preempting)


def test_a_server_that_refuses_is_told_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**arguments: Any) -> None:
        assert arguments["settings"]["init_timeout"] <= 30
        raise wandb.errors.CommError("no answer\n within 20 seconds")

    monkeypatch.setattr(wandb, "init", refuse)
    logger = WandbLogger(save_dir=str(tmp_path), id="abc", mode="online")
    with pytest.raises(ConfigError, match=r"logger\.wandb: no answer within .*WANDB_MODE=offline"):
        _ = logger.experiment
