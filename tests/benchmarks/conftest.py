"""Benchmarks whose jobs are not processes."""

import random
from pathlib import Path

import pytest

from tests.benchmarks.fakes import Benchmarks
from tests.config.hub_folders import write_hub
from tests.programs.task_files import write_classification, write_questions, write_tagging


@pytest.fixture(scope="session")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders in the layout of the hub's data sets."""
    return write_hub(tmp_path_factory.mktemp("hub"))


@pytest.fixture
def benchmarks(tmp_path: Path, reference_run: Path, monkeypatch: pytest.MonkeyPatch) -> Benchmarks:
    """A folder with a checkpoint `first`, and small files of rows."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    monkeypatch.setattr("clozekit.sweeps.running.SECONDS_BETWEEN_LOOKS", 0.0)
    (tmp_path / "first").symlink_to(reference_run)
    (tmp_path / "second").symlink_to(reference_run / "checkpoints")
    write_classification(tmp_path / "topics.csv", 30, random.Random(0))
    write_classification(tmp_path / "test.csv", 10, random.Random(1))
    write_tagging(tmp_path / "names.conll", 20, random.Random(0))
    write_questions(tmp_path / "questions.json", 20, random.Random(0))
    return Benchmarks(tmp_path, monkeypatch)
