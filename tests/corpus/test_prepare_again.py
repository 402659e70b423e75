"""A folder that holds something already: the same corpus, another one, or a user's own files."""

import subprocess
import sys
from pathlib import Path

import pytest

from clozekit.errors import ConfigError, DataError
from tests.corpus.made_texts import (
    content_of,
    make_documents,
    prepare_text,
    write_bytes,
    write_text,
)

DOCUMENTS = make_documents(120)


def test_the_same_command_again_does_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_text(tmp_path / "a.txt", DOCUMENTS)
    corpus = prepare_text(tmp_path / "out", path)
    before = {file: file.stat().st_mtime_ns for file in (tmp_path / "out").iterdir()}
    path.unlink()
    capsys.readouterr()
    assert prepare_text(tmp_path / "out", path, workers=3) == corpus
    assert "out is already prepared; nothing to do" in capsys.readouterr().out
    assert {file: file.stat().st_mtime_ns for file in (tmp_path / "out").iterdir()} == before


def test_another_configuration_is_refused_unless_told_to_overwrite(tmp_path: Path) -> None:
    path, out = write_text(tmp_path / "a.txt", DOCUMENTS), tmp_path / "out"
    prepare_text(out, path, shard_tokens=300)
    before = content_of(out)
    tokenizer = {"vocab_size": 200}
    with pytest.raises(
        ConfigError,
        match=r"shard_tokens was 300 and is now 500; "
        r"tokenizer.vocab_size was 300 and is now 200; .+overwrite=true",
    ):
        prepare_text(out, path, shard_tokens=500, tokenizer=tokenizer)
    assert content_of(out) == before
    (out / "notes.md").write_text("mine")
    again = prepare_text(out, path, tokenizer=tokenizer, overwrite=True)
    fresh = prepare_text(tmp_path / "fresh", path, tokenizer=tokenizer)
    assert again.manifest == fresh.manifest
    assert content_of(out) == {**content_of(tmp_path / "fresh"), "notes.md": b"mine"}


def test_the_intermediate_files_may_be_elsewhere(tmp_path: Path) -> None:
    path, work_dir = write_text(tmp_path / "a.txt", DOCUMENTS), tmp_path / "work"
    write_bytes(work_dir / "notes.md", b"mine")
    with pytest.raises(DataError, match=r"is not UTF-8"):
        prepare_text(tmp_path / "b", write_bytes(tmp_path / "b.txt", b"\xff"), work_dir=work_dir)
    prepare_text(tmp_path / "a", path)
    prepare_text(tmp_path / "b", path, work_dir=work_dir)
    assert content_of(tmp_path / "b") == content_of(tmp_path / "a")
    assert content_of(work_dir) == {"notes.md": b"mine"}


@pytest.mark.parametrize("name", ["thesis.tex", ".work/thesis.tex", "manifest.json"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_of_something_else_is_left_alone(
    tmp_path: Path, name: str, overwrite: bool
) -> None:
    path, out = write_text(tmp_path / "a.txt", DOCUMENTS), tmp_path / "out"
    write_bytes(out / name, b"{}")
    write_bytes(out / "train-00000.arrow", b"mine")
    message = "is not a valid manifest" if name == "manifest.json" else "contains files that are"
    with pytest.raises((ConfigError, DataError), match=message):
        prepare_text(out, path, overwrite=overwrite)
    assert (out / name).read_bytes() == b"{}"
    assert (out / "train-00000.arrow").read_bytes() == b"mine"


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    path = write_text(tmp_path / "a.txt", DOCUMENTS)
    with pytest.raises(ConfigError, match=r"a.txt is a file; it should be a folder"):
        prepare_text(path, path)


def test_a_folder_that_another_process_writes_to_is_refused(tmp_path: Path) -> None:
    path, out = write_text(tmp_path / "a.txt", DOCUMENTS), tmp_path / "out"
    out.mkdir()
    program = (
        "import fcntl, sys; file = open(sys.argv[1], 'w'); fcntl.lockf(file, fcntl.LOCK_EX);"
        "print('locked', flush=True); input()"
    )
    command = [sys.executable, "-c", program, str(out / ".lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"locked\n"
        with pytest.raises(ConfigError, match=r"out is being written by another process"):
            prepare_text(out, path)
        other.communicate(b"\n")
    prepare_text(out, path)
