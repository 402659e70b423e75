import os
import pickle
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clozekit.corpus.shards import Shard, token_dtype, write_record_batch, write_shard
from clozekit.corpus.tokenized import TokenizedDocuments, offsets_of
from clozekit.errors import DataError
from clozekit.files import write_atomically

DOCUMENTS = st.lists(st.lists(st.lists(st.integers(0, 65_535), max_size=5), max_size=4), max_size=8)


def write_documents(path: Path, documents: list[list[list[int]]], dtype: str = "uint16") -> None:
    sentences = [sentence for document in documents for sentence in document]
    write_shard(
        path,
        [f"é{index}" for index in range(len(documents))],
        np.array([token for sentence in sentences for token in sentence], dtype),
        offsets_of(np.array([len(sentence) for sentence in sentences], np.int64)),
        offsets_of(np.array([len(document) for document in documents], np.int64)),
    )


def read_documents(shard: Shard | TokenizedDocuments) -> list[list[list[int]]]:
    sentences = [
        shard.tokens[first:last].tolist()
        for first, last in zip(shard.sentence_offsets[:-1], shard.sentence_offsets[1:], strict=True)
    ]
    return [
        sentences[first:last]
        for first, last in zip(shard.document_offsets[:-1], shard.document_offsets[1:], strict=True)
    ]


@settings(deadline=None)
@given(documents=DOCUMENTS, dtype=st.sampled_from(["uint16", "uint32"]))
def test_what_is_written_is_read(
    tmp_path_factory: pytest.TempPathFactory, documents: list[list[list[int]]], dtype: str
) -> None:
    path = tmp_path_factory.mktemp("shard") / "train-00000.arrow"
    write_documents(path, documents, dtype)
    shard = Shard.open(path)
    assert read_documents(shard) == documents
    assert shard.ids == [f"é{index}" for index in range(len(documents))]
    assert shard.num_documents == len(documents)
    assert shard.num_sentences == sum(map(len, documents))
    assert shard.num_tokens == sum(len(sentence) for doc in documents for sentence in doc)
    assert shard.tokens.dtype == dtype
    assert shard.sentence_offsets.dtype == shard.document_offsets.dtype == np.int32


@settings(deadline=None)
@given(documents=DOCUMENTS, data=st.data())
def test_parts_put_together_again_are_the_whole(
    tmp_path_factory: pytest.TempPathFactory, documents: list[list[list[int]]], data: st.DataObject
) -> None:
    path = tmp_path_factory.mktemp("shard") / "train-00000.arrow"
    write_documents(path, documents)
    whole = TokenizedDocuments.open(path, 0, len(documents))
    cut = data.draw(st.integers(0, len(documents)))
    parts = [whole.part(0, cut), TokenizedDocuments.open(path, cut, len(documents))]
    assert [read_documents(part) for part in parts] == [documents[:cut], documents[cut:]]
    again = TokenizedDocuments.concatenate(parts)
    assert read_documents(again) == documents
    assert again.ids == whole.ids
    order = data.draw(st.permutations(range(len(documents))))
    taken = whole.take(np.array(order, np.int64))
    assert read_documents(taken) == [documents[i] for i in order]
    assert taken.ids.to_pylist() == [f"é{i}" for i in order]


@settings(deadline=None)
@given(documents=DOCUMENTS)
def test_without_empty_drops_sentences_and_then_documents(
    tmp_path_factory: pytest.TempPathFactory, documents: list[list[list[int]]]
) -> None:
    path = tmp_path_factory.mktemp("shard") / "train-00000.arrow"
    write_documents(path, documents)
    left, kept = TokenizedDocuments.open(path, 0, len(documents)).without_empty()
    expected = [[sentence for sentence in document if sentence] for document in documents]
    assert read_documents(left) == [document for document in expected if document]
    assert kept.tolist() == [bool(document) for document in expected]
    assert left.ids.to_pylist() == [f"é{i}" for i, document in enumerate(expected) if document]


def test_an_array_that_is_a_slice_is_read_from_where_it_begins(tmp_path: Path) -> None:
    sentences = pa.array(
        [[[9], [8, 7]], [[1, 2], [3]], [[4]], [[5]]], pa.list_(pa.list_(pa.uint16()))
    )
    # Offsets that begin above 0 and leave values over at both ends, at both levels.
    inner = pa.ListArray.from_arrays(pa.array([1, 3, 4], pa.int32()), pa.array([9, 1, 2, 3], "u2"))
    outer = pa.ListArray.from_arrays(pa.array([1, 2], pa.int32()), inner)
    for name, column, expected in (
        ("sliced", sentences.slice(1, 2), [[[1, 2], [3]], [[4]]]),
        ("shifted", outer, [[[3]]]),
    ):
        ids = pa.array([str(index) for index in range(len(column))])
        path = tmp_path / name
        write_record_batch(path, pa.record_batch({"id": ids, "sentences": column}))
        shard = Shard.open(path)
        assert read_documents(shard) == expected
        assert shard.num_tokens == sum(len(sentence) for doc in expected for sentence in doc)
        assert shard.sentence_offsets[0] == shard.document_offsets[0] == 0


def test_nothing_is_copied_and_nothing_can_be_changed(tmp_path: Path) -> None:
    write_documents(tmp_path / "shard", [[[1, 2]], [[3]]])
    shard = Shard.open(tmp_path / "shard")
    for array in (shard.tokens, shard.sentence_offsets, shard.document_offsets):
        assert not array.flags.owndata
        assert not array.flags.writeable


def test_a_pickled_shard_is_opened_again_by_its_path(tmp_path: Path) -> None:
    write_documents(tmp_path / "shard", [[list(range(10_000))], [[3]]])
    pickled = pickle.dumps(Shard.open(tmp_path / "shard"))
    assert len(pickled) < 1_000
    assert read_documents(pickle.loads(pickled)) == [[list(range(10_000))], [[3]]]


def test_the_token_type_follows_the_vocabulary() -> None:
    assert token_dtype(65_536) == np.uint16
    assert token_dtype(65_537) == np.uint32


def test_a_truncated_or_foreign_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "shard"
    with pytest.raises(DataError, match=r"shard does not exist"):
        Shard.open(path)
    write_documents(path, [[[1, 2]], [[3]]])
    whole = path.read_bytes()
    for size in (0, 5, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(DataError, match="not a complete Arrow file"):
            Shard.open(path)
    for batch, message in (
        ({"text": ["a"]}, "its columns are text: string"),
        ({"id": ["a"], "sentences": pa.array([[[1]]], pa.list_(pa.list_(pa.int64())))}, "columns"),
        ({"id": ["a"], "sentences": pa.array([None], pa.list_(pa.list_(pa.uint16())))}, "nulls"),
        (
            {"id": ["a"], "sentences": pa.array([[[None]]], pa.list_(pa.list_(pa.uint16())))},
            "nulls",
        ),
    ):
        write_record_batch(path, pa.record_batch(batch))
        with pytest.raises(DataError, match=message):
            Shard.open(path)


def test_a_file_of_two_record_batches_is_refused(tmp_path: Path) -> None:
    write_documents(tmp_path / "one", [[[1, 2]], [[3]]])
    batch = pa.ipc.open_file(tmp_path / "one").get_batch(0)
    with pa.ipc.new_file(tmp_path / "two", batch.schema) as writer:
        writer.write_batch(batch)
        writer.write_batch(batch)
    with pytest.raises(DataError, match="2 record batches instead of 1"):
        Shard.open(tmp_path / "two")


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "shard"
    path.write_bytes(b"old")

    def fail_halfway() -> None:
        with write_atomically(path) as file:
            file.write(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_halfway()
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == {"shard": b"old"}


def test_a_shard_that_is_cut_while_it_is_open_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.arrow"
    write_documents(path, [[[1, 2, 3]] * 50] * 50)
    shard = Shard.open(path)
    shard.check_size()
    os.truncate(path, 1_000)
    with pytest.raises(DataError, match=r"a\.arrow was changed .*and has 1,000; prepare"):
        shard.check_size()
    path.unlink()
    shard.check_size()  # What is mapped of a removed file stays.
