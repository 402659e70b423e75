"""Links in a folder from someone else: nothing is written to or removed from where they lead."""

import os
from pathlib import Path

import pytest

from clozekit.config.prepare import PrepareConfig
from clozekit.corpus.output import claim_output
from clozekit.errors import UserError
from clozekit.files import append_text, open_lock_file, write_text
from clozekit.prepare import prepare
from clozekit.runs.csv_history import CSVHistory
from clozekit.runs.lock import Lock, is_held
from clozekit.sweeps.processes import start_process
from tests.programs.texts import make_documents, write_documents

CONTENT = "step,loss\n"


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A file of the user's, outside the folder from someone else."""
    file = tmp_path / "own" / "notes.txt"
    file.parent.mkdir()
    file.write_text(CONTENT)
    return file


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "theirs"
    path.mkdir()
    return path


def config(folder: Path, **more: object) -> PrepareConfig:
    text = folder.parent / "corpus.txt"
    write_documents(text, make_documents(40))
    return PrepareConfig.model_validate(
        {
            "source": {"format": "text", "path": str(text)},
            "tokenizer": {"vocab_size": 200},
            "out": str(folder),
            "workers": 1,
            **more,
        }
    )


def test_a_corpus_lock_that_is_a_link_is_refused(folder: Path, own: Path) -> None:
    (folder / ".lock").symlink_to(own)
    with pytest.raises(UserError, match=r"\.lock is a symbolic link"):
        prepare(config(folder))
    assert own.read_text() == CONTENT


def test_a_locked_file_keeps_its_content(folder: Path) -> None:
    (folder / ".lock").write_text(CONTENT)
    os.close(open_lock_file(folder / ".lock"))
    assert (folder / ".lock").read_text() == CONTENT


@pytest.mark.parametrize("place", [".work", ".work/documents", ".work/logs/count/completions"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_work_folder_that_leads_elsewhere_is_refused(
    place: str, overwrite: bool, folder: Path, own: Path
) -> None:
    link = folder / place
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(own.parent)
    write_text(folder / ".work" / "state.json", "{}")
    with (
        pytest.raises(UserError, match=r"\.work\S* is a symbolic link"),
        claim_output(config(folder, overwrite=overwrite)),
    ):
        pass
    assert own.read_text() == CONTENT


def test_a_work_folder_that_is_a_file_is_refused(folder: Path) -> None:
    (folder / ".work").write_text("")
    with pytest.raises(UserError, match=r"contains a file \.work"):
        prepare(config(folder))


def test_a_sweeps_lock_that_is_a_link_is_refused(folder: Path, own: Path) -> None:
    (folder / ".lock").symlink_to(own)
    with pytest.raises(UserError, match=r"\.lock is a symbolic link"):
        Lock(folder / ".lock").acquire()
    with pytest.raises(UserError, match=r"\.lock is a symbolic link"):
        is_held(folder / ".lock")
    assert own.read_text() == CONTENT


def test_a_named_pipe_is_no_lock_and_does_not_block(folder: Path) -> None:
    os.mkfifo(folder / ".lock")
    for is_read in (False, True):
        with pytest.raises(UserError, match="is not a regular file"):
            open_lock_file(folder / ".lock", is_read)


def test_a_jobs_log_that_is_a_link_is_refused(folder: Path, own: Path) -> None:
    (folder / "job.log").symlink_to(own)
    with pytest.raises(UserError, match=r"job\.log is a symbolic link"):
        start_process(("--version",), folder / "job.log", {})
    assert own.read_text() == CONTENT


def test_a_history_that_is_a_link_is_not_appended_to(folder: Path, own: Path) -> None:
    (folder / "metrics.csv").symlink_to(own)
    with pytest.raises(UserError, match=r"metrics\.csv is a symbolic link"):
        CSVHistory(str(folder / "metrics.csv")).log_metrics({"loss": 1.0}, 1)
    assert own.read_text() == CONTENT


@pytest.mark.parametrize("has_target", [True, False])
def test_a_written_file_replaces_a_link(has_target: bool, folder: Path, own: Path) -> None:
    target = own if has_target else own.with_name("not-there")
    (folder / "config.yaml").symlink_to(target)
    write_text(folder / "config.yaml", "new")
    assert own.read_text() == CONTENT
    assert not (folder / "config.yaml").is_symlink()
    assert (folder / "config.yaml").read_text() == "new"
    assert not own.with_name("not-there").exists()


def test_appending_keeps_what_there_is(folder: Path) -> None:
    for text in ("a\n", "b\n"):
        with append_text(folder / "log") as file:
            file.write(text)
    assert (folder / "log").read_text() == "a\nb\n"
