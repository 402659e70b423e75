"""Writes that leave a whole file or none, whatever happens in their midst."""

import errno
import hashlib
import json
import math
import os
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clozekit import files
from clozekit.files import (
    copy_atomically,
    leftovers,
    link_atomically,
    sha256_of,
    sha256_of_file,
    write_atomically,
    write_folder_atomically,
    write_json,
    write_text,
    write_text_atomically,
)


def write_bytes(path: Path) -> None:
    with write_atomically(path) as file:
        file.write(b"new\n")


def write_stream(path: Path) -> None:
    with write_text_atomically(path) as file:
        file.write("new\n")


def copy(path: Path) -> None:
    copy_atomically(source_of(path), path)


def link(path: Path) -> None:
    link_atomically(source_of(path), path)


def source_of(path: Path) -> Path:
    source = path.parent.parent / "source"
    source.write_bytes(b"new\n")
    return source


WRITES: list[Callable[[Path], None]] = [
    write_bytes,
    write_stream,
    lambda path: write_text(path, "new\n"),
    copy,
    link,
]
every_write = pytest.mark.parametrize(
    "write", WRITES, ids=["bytes", "stream", "text", "copy", "link"]
)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    (tmp_path / "folder").mkdir()
    return tmp_path / "folder" / "file.txt"


@contextmanager
def umask(mask: int) -> Iterator[None]:
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@every_write
def test_the_old_file_is_replaced_and_nothing_else_is_left(
    write: Callable[[Path], None], target: Path
) -> None:
    write(target)
    target.write_bytes(b"older")
    write(target)
    assert target.read_bytes() == b"new\n"
    assert list(target.parent.iterdir()) == [target]


@every_write
def test_a_link_at_the_target_is_replaced_and_not_followed(
    write: Callable[[Path], None], target: Path, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(b"of another")
    target.symlink_to(elsewhere)
    write(target)
    assert not target.is_symlink()
    assert target.read_bytes() == b"new\n"
    assert elsewhere.read_bytes() == b"of another"


@every_write
def test_a_rename_that_fails_leaves_the_old_file_and_no_other(
    write: Callable[[Path], None], target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target.write_bytes(b"old")

    def fail(*paths: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="Input/output error"):
        write(target)
    assert target.read_bytes() == b"old"
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("opened", [write_atomically, write_text_atomically])
def test_an_exception_in_the_midst_leaves_the_old_file_and_no_other(
    opened: Callable[[Path], Any], target: Path
) -> None:
    target.write_bytes(b"old")

    def write_half() -> None:
        with opened(target) as file:
            file.write(b"half" if opened is write_atomically else "half")
            raise RuntimeError("in the midst")

    with pytest.raises(RuntimeError, match="in the midst"):
        write_half()
    assert target.read_bytes() == b"old"
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize(("mask", "expected"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def test_permissions_are_those_of_the_umask(mask: int, expected: int, target: Path) -> None:
    with umask(mask):
        write_bytes(target)
        write_text(target.with_name("text"), "")
        copy(target.with_name("copy"))
    assert {mode(path) for path in target.parent.iterdir()} == {expected}


def test_a_link_that_waits_at_the_temporary_name_is_not_followed(
    target: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"of another")
    monkeypatch.setattr(files.secrets, "token_hex", lambda size: "0" * 2 * size)
    waiting = target.with_name(f".{target.name}.{'0' * 16}.tmp")
    waiting.symlink_to(victim)
    with pytest.raises(FileExistsError):
        write_bytes(target)
    assert victim.read_bytes() == b"of another"
    assert not target.exists()


def test_temporary_names_differ_from_write_to_write(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    replace = os.replace
    monkeypatch.setattr(os, "replace", lambda a, b: (seen.append(Path(a)), replace(a, b)))
    for _ in range(3):
        write_bytes(target)
    assert len(set(seen)) == 3
    assert {path.parent for path in seen} == {target.parent}


def test_a_link_is_a_second_name_of_the_same_bytes(target: Path) -> None:
    link(target)
    assert target.samefile(target.parent.parent / "source")
    link_atomically(target, target.with_name("again"))
    link_atomically(target, target.with_name("again"))
    assert {path.name for path in target.parent.iterdir()} == {"file.txt", "again"}


def test_where_links_are_not_possible_a_file_is_copied(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*paths: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", fail)
    link(target)
    assert target.read_bytes() == b"new\n"
    assert not target.samefile(target.parent.parent / "source")


def test_json_and_text_are_the_same_bytes_everywhere(target: Path) -> None:
    write_json(target, {"b": [1, None], "a": "é\r\n"})
    expected = '{\n  "b": [\n    1,\n    null\n  ],\n  "a": "é\\r\\n"\n}\n'
    assert target.read_bytes() == expected.encode()
    with write_text_atomically(target) as file:
        file.write("é\r\n\n")
    assert target.read_bytes() == "é\r\n\n".encode()


def test_a_number_that_json_does_not_have_is_null(target: Path) -> None:
    value = {"a": math.nan, "b": [1.5, (-math.inf, np.float64(math.inf))], "c": "NaN"}
    write_json(target, value)
    assert json.loads(target.read_text(), parse_constant=pytest.fail) == {
        "a": None,
        "b": [1.5, [None, None]],
        "c": "NaN",
    }


def test_what_is_no_json_leaves_the_old_file(target: Path) -> None:
    write_json(target, {"a": 1})
    with pytest.raises(TypeError):
        write_json(target, {"a": object()})
    assert target.read_text() == '{\n  "a": 1\n}\n'


def test_a_folder_is_there_when_it_is_whole(tmp_path: Path) -> None:
    out = tmp_path / "new" / "out"
    with umask(0o027), write_folder_atomically(out) as folder:
        (folder / "a").write_text("a")
        assert not out.exists()
    assert (out / "a").read_text() == "a" and mode(out) == 0o750
    assert list(out.parent.iterdir()) == [out]


def test_a_folder_that_fails_is_not_there(tmp_path: Path) -> None:
    def fail() -> None:
        with write_folder_atomically(tmp_path / "out") as folder:
            (folder / "a").write_text("a")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_a_link_to_an_empty_folder_stands_for_the_folder(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "link").symlink_to("empty")
    with write_folder_atomically(tmp_path / "link") as unfinished:
        (unfinished / "a").write_text("whole")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "empty" / "a").read_text() == "whole"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "link"]


def test_a_folder_with_files_is_not_replaced(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine").write_text("mine")
    with pytest.raises(OSError), write_folder_atomically(out) as folder:
        (folder / "a").write_text("a")
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "mine"]


def test_a_killed_write_leaves_the_old_file_and_what_leftovers_finds(target: Path) -> None:
    target.write_bytes(b"old")
    program = (
        "import os, pathlib, sys\n"
        "from clozekit.files import write_atomically\n"
        "with write_atomically(pathlib.Path(sys.argv[1])) as file:\n"
        "    file.write(b'half')\n"
        "    file.flush()\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    killed = subprocess.run([sys.executable, "-c", program, str(target)], check=False)
    assert killed.returncode == -9
    assert target.read_bytes() == b"old"
    (left,) = leftovers(target.parent, r".*\.txt")
    assert left.read_bytes() == b"half"
    assert set(target.parent.iterdir()) == {left, target}


def test_leftovers_are_those_of_the_names_asked_for(tmp_path: Path) -> None:
    ours = [".last.ckpt.0a1b.tmp", ".step-4.ckpt.4711", ".last.ckpt.4711.tmp"]
    others = ["last.ckpt", ".last.ckpt", "last.ckpt.later", ".a.txt.0a1b.tmp", ".last.ckpt.later"]
    for name in (*ours, *others):
        (tmp_path / name).touch()
    assert sorted(path.name for path in leftovers(tmp_path, r".*\.ckpt")) == sorted(ours)
    assert leftovers(tmp_path / "nowhere", ".*") == []


def test_checksums_are_those_of_the_bytes(target: Path) -> None:
    write_bytes(target)
    assert sha256_of_file(target) == hashlib.sha256(b"new\n").hexdigest()
    assert sha256_of([b"ne", b"", b"w\n"]) == sha256_of_file(target)
