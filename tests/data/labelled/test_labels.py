"""Labels of several kinds: several at once, scores, choices."""

import json
import math
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from clozekit.data.labelled.classification import ClassificationFeatures
from clozekit.data.labelled.examples import strata_of
from clozekit.data.labelled.features import RowError
from clozekit.data.labelled.held_out import held_out
from clozekit.data.labelled.multiple_choice import MultipleChoiceFeatures
from clozekit.data.labelled.question_answering import QuestionAnsweringFeatures
from clozekit.data.labelled.regression import RegressionFeatures
from clozekit.errors import DataError
from tests.data.labelled.written_rows import datamodule, written
from tests.data.spelling import spelling_tokenizer


def multi_label(value: Any) -> tuple[str, ...] | None:
    features = ClassificationFeatures(spelling_tokenizer(), multi_label=True)
    example = features.example({"text": "a", "label": value}, 0, is_labelled=True)
    return None if example is None else example.labels


@pytest.mark.parametrize(
    ("value", "labels"),
    [
        (["b", "a"], ("b", "a")),
        ([], ()),
        (["a", None, ""], ("a",)),
        ([1.0, 2], ("1", "2")),
        ("a", ("a",)),
        ("a;b", ("a", "b")),
        (" a ; ;b;", ("a", "b")),
        (3, ("3",)),
        (3.0, ("3",)),
        (None, None),
        ("", None),
        ("['a', 'b']", ("a", "b")),
        ('["a", "b"]', ("a", "b")),
        ("['a' 'b']", ("a", "b")),
        ("[1, 2]", ("1", "2")),
        ("[]", ()),
        ("[bold];[x]", ("[bold]", "[x]")),
        (True, ("true",)),
    ],
)
def test_several_labels_are_a_list_or_have_semicolons_between(
    value: object, labels: tuple[str, ...] | None
) -> None:
    assert multi_label(value) == labels


@pytest.mark.parametrize("declares", [False, True])
@pytest.mark.parametrize(
    ("value", "told"),
    [
        ([["a"]], r"the label is ['a'] but must be text or a number"),
        (["b", {"name": "a"}], "the label is {'name': 'a'} but must be text or a number"),
        ('[["a"],["b"]]', r"the label is ['a'] but must be text or a number"),
        ('[{"name": "a"}]', "the label is {'name': 'a'} but must be text or a number"),
        ({"a": 1}, "the label is {'a': 1} but must be text or a number"),
    ],
)
def test_a_list_in_a_list_of_labels_is_refused(value: Any, told: str, declares: bool) -> None:
    features = ClassificationFeatures(spelling_tokenizer(), multi_label=True)
    features.declared = frozenset(["b"] if declares else [])
    with pytest.raises(RowError, match=re.escape(told)):
        features.example({"text": "a", "label": value}, 0, is_labelled=True)


def test_several_labels_of_a_csv_file_become_rows_of_ones_and_zeros(tmp_path: Path) -> None:
    rows = [("a", "x;z"), ("b", "y"), ("c", ""), ("d", "z")]
    data = datamodule(written(tmp_path, "csv", rows), multi_label=True)
    assert data.features.label_names == ["x", "y", "z"]
    assert data.task_arguments() == {"multi_label": True, "label_names": ["x", "y", "z"]}
    targets = data.sources["train"].rows.whole().labels.tolist()  # type: ignore[attr-defined]
    assert targets == [[1, 0, 1], [0, 1, 0], [0, 0, 1]]


def test_a_list_is_not_one_label(tmp_path: Path) -> None:
    path = written(tmp_path, "jsonl", [("a", ["x"]), ("b", ["y"])])
    with pytest.raises(
        DataError, match=r"rows\.jsonl, line 1: label is \['x'\] but must be a single label"
    ):
        datamodule(path)


@pytest.mark.parametrize("label", ["['a', 'b']", "['a']", '["a"]', "['a', 'b"])
def test_a_list_written_as_text_is_not_one_label(label: str, tmp_path: Path) -> None:
    path = written(tmp_path, "csv", [("a", label), ("b", "x")])
    with pytest.raises(DataError, match=r"line 2: label is .* set data\.multi_label=true"):
        datamodule(path)


def test_a_class_may_have_brackets(tmp_path: Path) -> None:
    data = datamodule(written(tmp_path, "csv", [("a", "[bold]"), ("b", "[x")]))
    assert data.features.label_names == ["[bold]", "[x"]


@pytest.mark.parametrize("label", ["[a; b]", "(a;b;c)", " {a ;b} "])
def test_several_labels_in_brackets_must_be_a_list(label: str) -> None:
    with pytest.raises(RowError, match="must be names separated by ';' without brackets"):
        multi_label(label)


def declared(folder: Path, names: list[str], feature: Any, labels: list[Any]) -> str:
    """Writes a Parquet file whose classes are declared as `datasets` does."""
    label: dict[str, Any] = {"names": names, "_type": "ClassLabel"}
    info = {"info": {"features": {"label": [label] if feature is list else label}}}
    table = pa.table({"text": ["a"] * len(labels), "label": labels})
    metadata = {b"huggingface": json.dumps(info).encode()}
    parquet.write_table(table.replace_schema_metadata(metadata), folder / "rows.parquet")
    return str(folder / "rows.parquet")


@pytest.mark.parametrize("names", [["pos ", "neg"], ["a;b", "c"], ["['x']", "y"]])
def test_declared_classes_are_names_as_they_are(names: list[str], tmp_path: Path) -> None:
    several = declared(tmp_path, names, list, [[0, 1], [1], [0]])
    rows = datamodule(several, multi_label=True).sources["train"].rows  # type: ignore[attr-defined]
    assert rows.whole().labels.tolist() == [[1, 1], [0, 1], [1, 0]]
    for multi_label in (True, False):
        data = datamodule(declared(tmp_path, names, int, [0, 1, 0]), multi_label=multi_label)
        assert data.features.label_names == names
        found = [example.labels for example in data.sources["train"].rows.examples]  # type: ignore[attr-defined]
        assert found == [(names[0],), (names[1],), (names[0],)]


def test_labels_that_look_alike_are_told(tmp_path: Path) -> None:
    labels = ["caf\u00e9", "cafe\u0301", "tea", "milk"]
    rows = [{"text": "a", "label": label} for label in labels * 3]
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    told = datamodule(str(path)).facts()["labels alike"]
    assert "cafe" in told and "caf\u00e9" in told and "tea" not in told


def test_a_class_that_is_declared_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the column 'label' declares the class 'x' twice"):
        datamodule(declared(tmp_path, ["x", "x", "y"], int, [0, 1, 2]))


def test_rows_are_held_out_though_every_set_of_labels_occurs_once() -> None:
    features = ClassificationFeatures(spelling_tokenizer(), multi_label=True)
    rows = [{"text": "a", "label": [str(number), "x"]} for number in range(20)]
    read = [features.example(row, i, is_labelled=True) for i, row in enumerate(rows)]
    examples = [example for example in read if example is not None]
    assert held_out(strata_of(examples, features), None, 0.2, seed=3).sum() == 4


@pytest.mark.parametrize(
    ("value", "score"),
    [
        ("0.5", 0.5),
        (3, 3.0),
        (" -1.5e-3 ", -0.0015),
        (".5", 0.5),
        (-100, -100.0),
        ("", None),
        (None, None),
    ],
)
def test_a_score_may_be_written_as_text(value: object, score: float | None) -> None:
    features = RegressionFeatures(spelling_tokenizer())
    example = features.example({"text": "a", "score": value}, 0, is_labelled=True)
    assert (None if example is None else example.score) == score


@pytest.mark.parametrize(
    "value",
    [
        "good",
        [1.0],
        "inf",
        math.inf,
        "nan",
        math.nan,
        "NA",
        "1e400",
        1e300,
        -1e16,
        True,
        "1_0",
        "٣",
        b"1",
    ],
)
def test_what_is_no_score_is_told(value: object) -> None:
    features = RegressionFeatures(spelling_tokenizer())
    with pytest.raises(RowError, match="but must be a number"):
        features.example({"text": "a", "score": value}, 0, is_labelled=True)


def choice(label: Any, choices: Any = ("a", "b")) -> int | None:
    features = MultipleChoiceFeatures(spelling_tokenizer(), question_column=None)
    row = {"context": "c", "choices": list(choices), "label": label}
    example = features.example(row, 0, is_labelled=True)
    return None if example is None else example.label


@pytest.mark.parametrize(("label", "place"), [(1, 1), (0.0, 0), ("1", 1), (None, None), ("", None)])
def test_the_right_choice_is_a_place(label: object, place: int | None) -> None:
    assert choice(label) == place


@pytest.mark.parametrize(
    "label", [2, -1, 0.5, "a", math.inf, math.nan, True, [0], -100, "1_0", "\u0661", "9" * 5000]
)
def test_what_is_no_place_of_a_choice_is_told(label: object) -> None:
    with pytest.raises(RowError, match="must be the index of a choice, from 0 to 1"):
        choice(label)


@pytest.mark.parametrize(
    "choices", ['["a", "b"]', "['a', 'b']", "['a' 'b']", "array(['a', 'b'], dtype=object)"]
)
def test_choices_may_stand_in_a_cell_as_json_python_or_numpy_write_them(choices: str) -> None:
    features = MultipleChoiceFeatures(spelling_tokenizer(), question_column=None)
    row = {"context": "c", "choices": choices, "label": "1"}
    example = features.example(row, 0, is_labelled=True)
    assert example is not None and (example.choices, example.label) == (("a", "b"), 1)
    for text in ("a b", "['a', 'b'", "", None):
        with pytest.raises(RowError, match=r"choices is .* list"):
            features.example({**row, "choices": text}, 0, is_labelled=True)


def test_choices_are_two_or_more_and_as_many_in_every_row() -> None:
    with pytest.raises(RowError, match="choices is 1 but must be at least 2"):
        choice(0, ["a"])
    features = MultipleChoiceFeatures(spelling_tokenizer(), question_column=None)
    features.example({"context": "c", "choices": ["a", "b"], "label": 0}, 0, is_labelled=True)
    with pytest.raises(RowError, match="choices is 3, but the first row has 2"):
        features.example({"context": "c", "choices": ["a", "b", "c"], "label": 0}, 1, True)


def test_a_run_trained_on_single_texts_reads_no_column_of_second_texts() -> None:
    features = ClassificationFeatures(spelling_tokenizer())
    row = {"text": "a", "text_pair": "b", "label": "x"}
    for is_labelled in (True, False):
        example = features.example(row, 0, is_labelled)
        assert example is not None and example.text_pair is None
    example = features.example(features.row_of("a", "b"), 0, is_labelled=False)
    assert example is not None and example.text_pair == "b", "it was given by itself"


def test_a_row_that_cannot_be_used_does_not_fix_the_number_of_choices() -> None:
    features = MultipleChoiceFeatures(spelling_tokenizer(), question_column="question")
    good = {"context": "c", "question": "q", "choices": ["a", "b"], "label": 0}
    three = {**good, "choices": ["a", "b", "c"]}
    for number, bad in enumerate([{**three, "question": 7}, {**three, "label": 9}]):
        with pytest.raises(RowError):
            features.example(bad, number, is_labelled=True)
    assert features.example({**three, "label": None}, 2, is_labelled=True) is None
    assert features.example(good, 3, is_labelled=True) is not None
    with pytest.raises(RowError, match="choices is 3, but the first row has 2"):
        features.example(three, 4, is_labelled=False)


def test_a_column_of_ids_that_is_named_must_be_there(tmp_path: Path) -> None:
    path = written(tmp_path, "csv", [("a", "x"), ("b", "y")])
    with pytest.raises(DataError, match="has no column 'nope', which id_column names; it has text"):
        datamodule(path, id_column="nope")
    assert datamodule(path, id_column="label").features.needs_ids
    # The default of questions is for files that have ids.
    assert not QuestionAnsweringFeatures(spelling_tokenizer()).needs_ids


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b"text,label\na,x\n", "line 1: the line is not JSON"),
        ("a.jsonl", b"{'text': 'a', 'label': 'x'}\n", "line 1: the line is not JSON"),
        ("a.jsonl", '{"text": "a"}\n'.encode("utf-16"), "line 1: the line is not UTF-8"),
        ("a.jsonl", b'[["good", "a"]]\n', "line 1: the line is not a JSON object"),
        ("a.json", b'[["good", "a"]]\n', r"item 1 \(line 1\): the item is not a JSON object"),
        ("a.jsonl", b'{"text": "a", "text": "b"}\n', "line 1: .* the key 'text' occurs twice"),
        ("a.jsonl", b"{}\n", "has no column 'text'; it has none"),
    ],
)
def test_a_file_without_one_good_row_is_told_by_its_first_line(
    name: str, content: bytes, message: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=rf"{name}(, | ){message}"):
        datamodule(str(tmp_path / name))
