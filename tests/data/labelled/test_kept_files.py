"""Rows of large files are kept, and found again by all that they depend on."""

import multiprocessing
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from clozekit.data.files.rows import Rows
from clozekit.data.labelled import encoding
from clozekit.data.labelled.classification import ClassificationDataModule, ClassificationFeatures
from clozekit.data.labelled.labelled_datamodule import LabelledDataModule
from clozekit.data.labelled.row_store import RowStore
from clozekit.errors import DataError, WorkerError
from clozekit.files import locked
from tests.data.labelled.written_rows import datamodule, written

ROWS = [("one two three " * (n % 5 + 1), f"class {n % 3}") for n in range(40)]


@pytest.fixture(autouse=True)
def keeps_small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("row_file", "examples", "encoded_columns", "encoding"):
        monkeypatch.setattr(f"clozekit.data.labelled.{name}.CHUNK_ROWS", 8)
    monkeypatch.setattr("clozekit.data.labelled.kept_files.LEAST_BYTES", 0)


def made(folder: Path, train: str, **changes: Any) -> LabelledDataModule[Any]:
    changes = {"validation": None, **changes}
    return datamodule(train, rows_dir=folder / ".rows", **changes)


def described(data: LabelledDataModule[Any]) -> Any:
    rows = {split: source.rows for split, source in data.sources.items()}  # type: ignore[attr-defined]
    return (
        data.data_hash,
        data.task_arguments(),
        data.facts(),
        {split: list(of.examples) for split, of in rows.items()},
        {split: of.whole().sequences.input_ids.tolist() for split, of in rows.items()},
        {split: of.whole().labels.tolist() for split, of in rows.items()},
    )


def stamps(folder: Path) -> dict[str, int]:
    return {p.name: p.stat().st_mtime_ns for p in (folder / ".rows").glob("*.arrow")}


def test_rows_are_found_again_and_are_those_of_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [*ROWS, ("four", ""), ("five", "")]
    train = written(tmp_path, "csv", rows)
    in_memory = described(datamodule(train, validation=None))
    first = described(made(tmp_path, train))
    before = stamps(tmp_path)
    assert len(before) == 2, "what was read, and its encoding"

    def encoded_again(*_: object) -> None:
        raise AssertionError("the rows are encoded again")

    monkeypatch.setattr("clozekit.data.labelled.row_store.encoded_chunks", encoded_again)
    again = described(made(tmp_path, train))
    assert in_memory == first == again
    assert stamps(tmp_path) == before
    # The rows held out follow from the same files.
    assert described(made(tmp_path, train, seed=5)) != first
    assert stamps(tmp_path) == before


def test_rows_of_other_content_or_options_are_other_files(tmp_path: Path) -> None:
    train = written(tmp_path, "csv", ROWS)
    before = Path(train).stat()
    first = described(made(tmp_path, train))
    assert described(made(tmp_path, train, max_seq_length=8)) != first
    assert len(stamps(tmp_path)) == 4
    written(tmp_path, "csv", [*ROWS[1:], ROWS[0]])
    # Neither its size nor its time tells that the content is another.
    os.utime(train, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert Path(train).stat().st_size == before.st_size
    assert described(made(tmp_path, train)) != first
    assert len(stamps(tmp_path)) == 6


@pytest.mark.parametrize("damage", ["changed", "cut", "empty", "note", "no note"])
def test_damaged_files_are_written_again(
    damage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train = written(tmp_path, "csv", ROWS)
    first = described(made(tmp_path, train))
    files = sorted((tmp_path / ".rows").glob("*.arrow"))
    good = [path.read_bytes() for path in files]
    for path, content in zip(files, good, strict=True):
        middle = len(content) // 2
        note = path.with_suffix(".json")
        if damage == "changed":
            path.write_bytes(content[:middle] + b"\xff" + content[middle + 1 :])
        elif damage == "note":
            note.write_text('{"sha256": ')
        elif damage == "no note":
            note.unlink()
        else:
            path.write_bytes(content[:middle] if damage == "cut" else b"")
    capsys.readouterr()
    assert described(made(tmp_path, train)) == first
    told = capsys.readouterr().out
    assert told.count("is damaged; the rows are read again") == (0 if "note" in damage else 2)
    assert [path.read_bytes() for path in files] == good


def test_a_killed_writer_leaves_nothing_that_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = written(tmp_path, "csv", ROWS)
    first = described(made(tmp_path, train))
    files = sorted((tmp_path / ".rows").glob("*.arrow"))
    leftover = files[0].with_name(f".{files[0].name}.0123456789abcdef.tmp")
    leftover.write_bytes(b"half a file")
    for path in files:
        path.unlink()
    assert described(made(tmp_path, train)) == first
    assert not leftover.exists()


def make_in_a_process(folder: Path, train: str, may_start: Any, results: Any) -> None:
    may_start.wait()
    results.put(described(made(folder, train)))


def test_one_process_writes_while_another_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "false")  # for the fork
    train = written(tmp_path, "csv", ROWS)
    first = described(made(tmp_path, train))
    before = stamps(tmp_path)
    (lock, *_) = sorted((tmp_path / ".rows").glob(".*.lock"))
    context = multiprocessing.get_context("fork")
    may_start, results = context.Event(), context.Queue()
    arguments = (tmp_path, train, may_start, results)
    process = context.Process(target=make_in_a_process, args=arguments, daemon=True)
    process.start()
    with locked(lock):
        may_start.set()
        time.sleep(1)
        assert process.is_alive()
        assert results.empty()
    assert results.get(timeout=60) == first
    process.join()
    assert stamps(tmp_path) == before


class OwnFeatures(ClassificationFeatures):
    """A class whose code may change."""


class OwnDataModule(ClassificationDataModule):
    features_class = OwnFeatures


def test_rows_of_the_users_own_code_are_not_kept(tmp_path: Path) -> None:
    train = written(tmp_path, "csv", ROWS)
    made(tmp_path, train, kind=OwnDataModule)
    assert stamps(tmp_path) == {}


def test_an_unknown_label_is_told_though_the_training_rows_were_found(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    train = written(tmp_path, "csv", ROWS)
    other = written(tmp_path / "other", "csv", [*ROWS, ("six", "class 7")])
    for _ in range(2):
        with pytest.raises(DataError, match=r"line 42: the label 'class 7' does not occur"):
            made(tmp_path, train, validation=other, on_unknown_label="error")


def test_unknown_labels_are_counted_though_their_rows_were_found(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    train = written(tmp_path, "csv", ROWS)
    other = written(tmp_path / "other", "csv", [*ROWS, ("six", "class 7")])
    first = made(tmp_path, train, validation=other)
    before = stamps(tmp_path)
    again = made(tmp_path, train, validation=other)
    assert stamps(tmp_path) == before
    assert first.unknown_labels == again.unknown_labels == {"validation": {"class 7": 1}}
    assert described(first) == described(again)


class KillingFeatures(ClassificationFeatures):
    """Kills the process that encodes, as the system does when memory is full."""

    def encode(self, examples: Any, is_labelled: bool) -> Any:
        if multiprocessing.parent_process() is not None:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().encode(examples, is_labelled)


class KillingDataModule(ClassificationDataModule):
    features_class = KillingFeatures


def test_a_killed_tokenizing_process_ends_with_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoding, "num_cores", lambda: 2)
    monkeypatch.setattr("clozekit.data.labelled.row_file.MOST_BYTES_IN_MEMORY", 0)
    train = written(tmp_path, "csv", ROWS)
    with pytest.raises(WorkerError, match="a process that tokenizes the rows was killed"):
        made(tmp_path, train, kind=KillingDataModule)


def test_texts_that_are_not_unicode_are_told_with_their_file(tmp_path: Path) -> None:
    train = tmp_path / "rows.jsonl"
    train.write_text('{"text": "a", "label": "x"}\n')
    features = ClassificationFeatures(datamodule(written(tmp_path, "csv", ROWS)).tokenizer)
    rows = [{"text": "good film", "label": "x \ud83d"}]
    with pytest.raises(DataError, match=r"rows\.jsonl.*Unicode"):
        RowStore(features).read(Rows(str(train), ["text", "label"], lambda: iter(rows)), False)
