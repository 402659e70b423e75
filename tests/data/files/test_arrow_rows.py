"""Parquet and Arrow: types, classes, columns, and what is refused."""

import datetime
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from datasets import ClassLabel, Dataset, Features, List, Value
from datasets.arrow_writer import ArrowWriter
from pyarrow import feather, ipc, parquet

from clozekit.data.files.arrow_rows import schema_of
from clozekit.data.files.rows import read_file
from clozekit.data.labelled.question_answering import QuestionAnsweringFeatures
from clozekit.errors import DataError
from tests.data.labelled.written_rows import datamodule, read
from tests.data.spelling import spelling_tokenizer


def write_arrow(table: pa.Table, path: str) -> None:
    with ipc.new_file(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=2)


def write_stream(table: pa.Table, path: str) -> None:
    with ipc.new_stream(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=2)


Writer = Callable[[pa.Table, str], None]
WRITERS: dict[str, tuple[str, Writer]] = {
    "parquet": ("a.parquet", parquet.write_table),
    "arrow": ("a.arrow", write_arrow),
    "stream": ("a.arrow", write_stream),
    "feather": ("a.feather", feather.write_feather),
}
every_writer = pytest.mark.parametrize(("name", "write"), WRITERS.values(), ids=list(WRITERS))


@every_writer
def test_every_type_is_read_as_what_it_is(name: str, write: Writer, tmp_path: Path) -> None:
    columns = {
        "text": ["a", None, "0001"],
        "category": pa.array(["x", "y", "x"]).dictionary_encode(),
        "number": pa.array([1, None, 2**60], pa.int64()),
        "flag": [True, None, False],
        "date": [datetime.date(2024, 1, 1), None, datetime.date(1970, 1, 1)],
        "words": [["a", "b"], None, []],
        "answers": [{"text": ["a"], "answer_start": [0]}, None, {"text": [], "answer_start": []}],
    }
    write(pa.table(columns), str(tmp_path / name))
    rows = read_file(str(tmp_path / name))
    assert list(rows.columns) == list(columns)
    assert read(rows) == [
        {
            "text": "a",
            "category": "x",
            "number": 1,
            "flag": True,
            "date": datetime.date(2024, 1, 1),
            "words": ["a", "b"],
            "answers": {"text": ["a"], "answer_start": [0]},
        },
        dict.fromkeys(columns) | {"category": "y"},
        {
            "text": "0001",
            "category": "x",
            "number": 2**60,
            "flag": False,
            "date": datetime.date(1970, 1, 1),
            "words": [],
            "answers": {"text": [], "answer_start": []},
        },
    ]
    assert [place for place, _ in rows][2] == f"{tmp_path / name}, row 3"
    (only, *_) = read(read_file(str(tmp_path / name), ["words", "other", "text"]))
    assert only == {"text": "a", "words": ["a", "b"]}, "other columns are not read"


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        ([1, 2, 1], ["1", "2"]),
        ([1.0, 2.0, None], ["1", "2"]),
        ([True, False, None], ["false", "true"]),
        (["1", "01", ""], ["01", "1"]),
        (
            [datetime.date(2024, 1, 1), datetime.date(2024, 1, 2), None],
            ["2024-01-01", "2024-01-02"],
        ),
    ],
)
def test_classes_have_the_names_of_a_csv_file(
    labels: list[Any], names: list[str], tmp_path: Path
) -> None:
    parquet.write_table(
        pa.table({"text": ["a", "b", "c"], "label": labels}), tmp_path / "a.parquet"
    )
    data = datamodule(str(tmp_path / "a.parquet"))
    assert sorted(data.features.label_names or ()) == names


@every_writer
def test_a_number_is_no_text(name: str, write: Writer, tmp_path: Path) -> None:
    write(pa.table({"text": [1, 2], "label": ["x", "y"]}), str(tmp_path / name))
    with pytest.raises(DataError, match="row 1: text is 1 but must be text"):
        datamodule(str(tmp_path / name))


def test_classes_that_datasets_declares_in_a_file_are_named(tmp_path: Path) -> None:
    names = ClassLabel(names=["zebra", "ape", "cow"])
    features = Features({"text": Value("string"), "label": names, "tags": List(names)})
    rows = {"text": ["a", "b", "c"], "label": [1, -1, 0], "tags": [[2, -1], [], [0]]}
    dataset = Dataset.from_dict(rows, features)
    dataset.to_parquet(str(tmp_path / "a.parquet"))
    dataset.save_to_disk(str(tmp_path / "saved"))
    for path in (tmp_path / "a.parquet", next((tmp_path / "saved").glob("*.arrow"))):
        found = read_file(str(path))
        assert read(found) == [
            {"text": "a", "label": "ape", "tags": ["cow", None]},
            {"text": "b", "label": None, "tags": []},
            {"text": "c", "label": "zebra", "tags": ["zebra"]},
        ]
        assert found.class_names == {"label": names.names, "tags": names.names}
    data = datamodule(str(tmp_path / "a.parquet"))
    assert data.features.label_names == ["zebra", "ape", "cow"]


def with_metadata(folder: Path, features: object, labels: list[int]) -> str:
    table = pa.table({"text": ["a"] * len(labels), "label": labels})
    metadata = features if isinstance(features, bytes) else json.dumps({"info": features}).encode()
    path = folder / "a.parquet"
    parquet.write_table(table.replace_schema_metadata({"huggingface": metadata}), path)
    return str(path)


@pytest.mark.parametrize(
    "features",
    [
        b"\xff",
        b"[" * 100_000,
        {"features": [1]},
        {"features": {"label": {"names": [1, 2], "_type": "ClassLabel"}}},
        {"features": {"label": {"names": "ab", "_type": "ClassLabel"}}},
        {"features": {"label": 3, "other": {"feature": None}}},
        None,
    ],
)
def test_metadata_that_declares_no_classes_is_left_aside(features: object, tmp_path: Path) -> None:
    rows = read_file(with_metadata(tmp_path, features, [0, 1]))
    assert rows.class_names == {} and [row["label"] for row in read(rows)] == [0, 1]


def test_a_class_that_is_not_declared_is_told_with_its_row(tmp_path: Path) -> None:
    features = {"features": {"label": {"names": ["a", "b"], "_type": "ClassLabel"}}}
    with pytest.raises(
        DataError, match=r"row 2: the class 2 is not one of the 2 that are declared"
    ):
        read(read_file(with_metadata(tmp_path, features, [0, 2])))


@every_writer
def test_a_column_that_occurs_twice_is_refused(name: str, write: Writer, tmp_path: Path) -> None:
    table = pa.Table.from_arrays([pa.array(["a"]), pa.array(["b"])], ["text", "text"])
    write(table, str(tmp_path / name))
    with pytest.raises(DataError, match="the column 'text' occurs twice"):
        read_file(str(tmp_path / name))


@every_writer
def test_a_damaged_file_is_refused(name: str, write: Writer, tmp_path: Path) -> None:
    path = tmp_path / name
    write(pa.table({"text": ["some text"] * 100, "n": list(range(100))}), str(path))
    whole = path.read_bytes()
    kind = "Parquet" if name == "a.parquet" else "Arrow"
    for content in (whole[: len(whole) // 2], b"", b"PAR1", b"ARROW1\0\0", b"text\na\n"):
        path.write_bytes(content)
        with pytest.raises(DataError, match=rf"(cannot be read as {kind}|has no rows)"):
            read(read_file(str(path)))


@pytest.mark.parametrize("num_batches", [0, 1, 2])
def test_a_stream_that_is_cut_off_between_batches_is_refused(
    num_batches: int, tmp_path: Path
) -> None:
    path = tmp_path / "a.arrow"
    write_stream(pa.table({"text": list("abcdef")}), str(path))
    whole = path.read_bytes()
    ends = ends_of_messages(whole)
    assert len(ends) == 4 and ends[-1] == len(whole) - 8, "the schema and three batches"
    path.write_bytes(whole[: ends[num_batches]])
    with pytest.raises(DataError, match=r"a\.arrow cannot be read as Arrow: .* cut off"):
        read(read_file(str(path)))


def ends_of_messages(stream: bytes) -> list[int]:
    source, ends = pa.BufferReader(stream), []
    try:
        while True:
            ipc.read_message(source)
            ends.append(source.tell())
    except EOFError:
        return ends


def test_every_stream_that_is_written_has_its_end(tmp_path: Path) -> None:
    path, table = tmp_path / "a.arrow", pa.table({"text": list("abc")})
    with ArrowWriter(path=str(path), writer_batch_size=2) as writer:
        for text in "abc":
            writer.write({"text": text})
        writer.finalize()
    assert len(read(read_file(str(path)))) == 3
    for options in (
        ipc.IpcWriteOptions(use_legacy_format=True),
        ipc.IpcWriteOptions(compression="zstd"),
        ipc.IpcWriteOptions(metadata_version=ipc.MetadataVersion.V4),
    ):
        with ipc.new_stream(str(path), table.schema, options=options) as stream:
            stream.write_table(table, max_chunksize=1)
        assert len(read(read_file(str(path)))) == 3
        # Some writers go on after the end, as pyarrow itself does not mind.
        path.write_bytes(path.read_bytes() + b"\0" * 3)
        assert len(read(read_file(str(path)))) == 3
    with ipc.new_stream(str(path), table.schema):
        pass
    assert schema_of(str(path), is_parquet=False).names == ["text"]


def test_offsets_that_point_out_of_the_file_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.arrow"
    write_arrow(pa.table({"text": ["abcde", "fghijkl"]}), str(path))
    whole = path.read_bytes()
    offsets, wrong = (
        b"".join(number.to_bytes(4, "little") for number in (0, 5, last)) for last in (12, 2**30)
    )
    assert whole.count(offsets) == 1
    path.write_bytes(whole.replace(offsets, wrong))
    with pytest.raises(DataError, match="cannot be read as Arrow"):
        read(read_file(str(path)))


def test_text_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    raw = pa.array([b"good", b"\xff\xfe"])
    path = tmp_path / "a.arrow"
    write_arrow(pa.table({"text": raw.view(pa.string())}), str(path))
    with pytest.raises(DataError, match=r"cannot be read as Arrow: .*UTF8"):
        read(read_file(str(path)))


def test_answers_in_columns_are_read(tmp_path: Path) -> None:
    answers = [{"text": ["cow"], "answer_start": [4]}, {"text": [], "answer_start": []}]
    table = pa.table(
        {"id": [1, 2], "question": ["Who?"] * 2, "context": ["the cow"] * 2, "answers": answers}
    )
    parquet.write_table(table, tmp_path / "a.parquet")
    features = QuestionAnsweringFeatures(spelling_tokenizer())
    rows = features.read_rows(str(tmp_path / "a.parquet"))
    found = [features.example(row, 0, is_labelled=True) for _, row in rows]
    assert [example.answers for example in found if example] == [("cow",), ()]


@every_writer
def test_numbers_of_few_bits_have_their_shortest_text(
    name: str, write: Writer, tmp_path: Path
) -> None:
    columns = {
        "single": pa.array([0.1, None, 1e-30], pa.float32()),
        "double": pa.array([0.1, 1 / 3, None], pa.float64()),
        "list": pa.array([[0.1, None], None, []], pa.list_(pa.float32())),
    }
    write(pa.table(columns), str(tmp_path / name))
    assert read(read_file(str(tmp_path / name))) == [
        {"single": 0.1, "double": 0.1, "list": [0.1, None]},
        {"single": None, "double": 1 / 3, "list": None},
        {"single": 1e-30, "double": None, "list": []},
    ]
