"""Parquet files and local datasets: text that is not UTF-8, and files that are written again."""

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from clozekit.corpus.work_folder import PLAN_FILE, Work
from clozekit.data.files.rows import read_file
from clozekit.errors import DataError
from clozekit.prepare import prepare
from tests.corpus.made_texts import config, decoded, make_documents, write_jsonl, write_text
from tests.corpus.sources.test_readers import read_all

DOCUMENTS = make_documents(60)


@pytest.fixture(autouse=True)
def local_datasets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)


def _not_utf8(path: Path) -> Path:
    path.parent.mkdir(exist_ok=True)
    texts = pa.array([b"good"] * 4 + [b"bad \xff\xfe text", b"good"], pa.binary())
    pq.write_table(pa.table({"text": texts.view(pa.string())}), path, row_group_size=2)
    return path


@pytest.mark.parametrize("size", [1, 10**6])
def test_text_of_parquet_that_is_not_utf8_is_told_by_its_row(tmp_path: Path, size: int) -> None:
    path = _not_utf8(tmp_path / "f.parquet")
    with pytest.raises(DataError, match=r"f\.parquet: row 5 is not UTF-8 \(byte 0xff\)$"):
        read_all(path, "parquet", size)
    with pytest.raises(DataError, match=r"f\.parquet cannot be read as Parquet: .*UTF8"):
        list(read_file(str(path)))


def test_text_of_a_dataset_that_is_not_utf8_is_told_by_its_row(tmp_path: Path) -> None:
    folder = _not_utf8(tmp_path / "data" / "train.parquet").parent
    with pytest.raises(DataError, match=r"data: row 5 is not UTF-8 \(byte 0xff\)$"):
        read_all(folder, "hub")


def test_an_id_that_python_does_not_have_is_told(tmp_path: Path) -> None:
    path = tmp_path / "f.parquet"
    times = pa.array([2**60], pa.timestamp("us"))
    pq.write_table(pa.table({"text": ["a"], "id": times}), path)
    with pytest.raises(DataError, match=r"f\.parquet cannot be read as Parquet: "):
        read_all(path, "parquet", id_column="id")


def test_a_local_dataset_that_is_written_again_is_read_again(tmp_path: Path) -> None:
    file = write_text(tmp_path / "data" / "train.txt", [["First."], ["Other."]])
    status = file.stat()
    assert [row.text for row in read_all(file.parent, "hub")] == ["First.", "", "Other."]
    write_text(file, [["Other."], ["First."]])
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert file.stat().st_size == status.st_size
    assert [row.text for row in read_all(file.parent, "hub")] == ["Other.", "", "First."]


def test_an_unfinished_preparation_of_a_local_dataset_notices_that_it_is_another(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write_jsonl(tmp_path / "data" / "train.jsonl", DOCUMENTS)
    status = file.stat()
    wanted = config(tmp_path / "out", {"format": "hub", "path": str(file.parent)})

    with monkeypatch.context() as patch:
        patch.setattr("clozekit.corpus.pipeline.split_documents", _interrupted)
        with pytest.raises(KeyboardInterrupt):
            prepare(wanted)
    assert (Work.of(wanted).folder / PLAN_FILE).exists()
    write_jsonl(file, DOCUMENTS[::-1])
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert file.stat().st_size == status.st_size
    texts = {tuple(sentences) for sentences in decoded(prepare(wanted)).values()}
    fresh = config(tmp_path / "fresh", {"format": "hub", "path": str(file.parent)})
    assert texts == {tuple(sentences) for sentences in decoded(prepare(fresh)).values()}


def _interrupted(*_: object) -> None:
    raise KeyboardInterrupt
