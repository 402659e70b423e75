"""Training on rows that are kept in files is training on rows in memory."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from clozekit.train import train
from tests.programs.commands import QUIET, TINY, read_rows, train_config
from tests.programs.texts import write_labelled


def stamps(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("runs/.rows/*.arrow")}


@pytest.fixture
def smallest_files(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Treats every file as a large one, in chunks of a few rows that two processes encode."""
    for name in ("row_file", "examples", "encoded_columns", "encoding"):
        monkeypatch.setattr(f"clozekit.data.labelled.{name}.CHUNK_ROWS", 16)
    monkeypatch.setattr("clozekit.data.labelled.encoding.num_cores", lambda: 2)
    return monkeypatch


def test_training_is_the_same_and_a_resumed_run_finds_the_rows(
    corpus: Path, tmp_path: Path, smallest_files: pytest.MonkeyPatch
) -> None:
    smallest_files.chdir(tmp_path)
    write_labelled(tmp_path / "train.csv", 120, 1)
    common = (
        *("task=classification", "data=classification", "data.train=train.csv"),
        *(f"data.tokenizer={corpus / 'tokenizer.json'}", *TINY, *QUIET),
        *("global_batch_size=16", "micro_batch_size=8", "trainer.log_every_n_steps=1"),
        *("validate_every_n_steps=4", "callbacks.checkpoints.every_n_steps=4"),
    )
    in_memory = train(train_config(*common, "name=memory", "max_steps=12"))
    assert stamps(tmp_path) == {}
    smallest_files.setattr("clozekit.data.labelled.kept_files.LEAST_BYTES", 0)
    kept = train(train_config(*common, "name=kept", "max_steps=12"))
    assert kept == in_memory
    rows = [read_rows(tmp_path / "runs" / name / "metrics.csv") for name in ("memory", "kept")]
    assert rows[0] == rows[1]
    assert len(rows[0]) > 12
    before = stamps(tmp_path)
    assert len(before) == 2
    resumed = train(train_config(*common, "name=kept", "max_steps=12", "resume=auto"))
    assert resumed == in_memory
    assert stamps(tmp_path) == before
