"""Rows of tagged words: schemes of tags, cells, labels, and what is told about them."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from clozekit.data.labelled.features import RowError
from clozekit.data.labelled.tagging import TaggingDataModule
from clozekit.errors import DataError
from tests.data.labelled.labelled_rows import encoded, whole_batch
from tests.data.labelled.tagged_files import all_labels, datamodule, features_of


def tagged(tags: Any, words: Any = None) -> tuple[str | None, ...] | None:
    row = {"tokens": ["w"] * len(tags) if words is None else words, "tags": tags}
    found = features_of().example(row, 0, is_labelled=True)
    return None if found is None else found.tags


def read(folder: Path, *sentences: str, **options: Any) -> TaggingDataModule:
    """A DataModule of a file with one sentence of these tags each."""
    lines = [[f"the {tag}" for tag in sentence.split()] for sentence in sentences]
    text = "\n\n".join("\n".join(sentence) for sentence in lines)
    (folder / "a.conll").write_text(text + "\n\nhorse O\n" * 3)
    return datamodule(folder / "a.conll", **options)


def tags_read(data: TaggingDataModule) -> set[tuple[str | None, ...]]:
    examples = [e for source in data.sources.values() for e in source.rows.examples]  # type: ignore[attr-defined]
    return {example.tags for example in examples} - {("O",)}


@pytest.mark.parametrize(
    ("given", "expected", "scheme"),
    [
        (
            ["I-PER I-PER O I-LOC B-LOC I-LOC", "I-PER I-LOC O O"],
            ["B-PER I-PER O B-LOC B-LOC I-LOC", "B-PER B-LOC O O"],
            "iob2",
        ),
        # The I of the second sentence is a mistake, as the first one is not IOB1.
        (["B-PER I-PER", "I-PER"], ["B-PER I-PER", "I-PER"], "iob2"),
        (["B-PER I-PER E-PER S-LOC", "I-LOC"], ["B-PER I-PER E-PER S-LOC", "I-LOC"], "iobes"),
        (["B-PER L-PER U-LOC"], ["B-PER L-PER U-LOC"], "bilou"),
        # Of no scheme: what looks like IOB1 in one sentence is not.
        (["NOUN", "I-x I-x"], ["NOUN", "I-x I-x"], "none"),
    ],
)
def test_the_scheme_of_a_file_is_that_of_all_its_tags(
    given: list[str], expected: list[str], scheme: str, tmp_path: Path
) -> None:
    data = read(tmp_path, *given)
    assert tags_read(data) == {tuple(sentence.split()) for sentence in expected}
    assert data.task_arguments()["tag_scheme"] == scheme
    told = data.facts().get("tag scheme", "none")
    assert told.split(";")[0].split()[-1] == scheme
    assert ("1 tags are in no entity" in told) == (given[-1] in ("I-PER", "I-LOC"))


@pytest.mark.parametrize(
    ("validation", "expected"),
    [
        ("B-PER E-PER S-LOC O", "B-PER I-PER B-LOC O"),
        ("B-PER L-PER U-LOC O", "B-PER I-PER B-LOC O"),
        ("I-PER I-PER I-LOC O", "B-PER I-PER B-LOC O"),
        ("B-PER I-PER B-LOC O", "B-PER I-PER B-LOC O"),
    ],
)
def test_the_tags_of_other_files_are_converted_to_those_of_the_model(
    validation: str, expected: str, tmp_path: Path
) -> None:
    train, other = tmp_path / "train.conll", tmp_path / "validation.conll"
    train.write_text("a B-PER\nb I-PER\nc B-LOC\nd I-LOC\ne O\n\nf O\n\ng O\n")
    lines = [f"{word} {tag}" for word, tag in zip("abcd", validation.split(), strict=True)]
    other.write_text("\n".join([*lines, "", "f O", ""]))
    data = datamodule(train, other)
    examples = data.sources["validation"].rows.examples  # type: ignore[attr-defined]
    assert {example.tags for example in examples} == {tuple(expected.split()), ("O",)}


def test_the_scheme_may_be_given(tmp_path: Path) -> None:
    mixed = ("B-PER I-PER", "I-PER")
    assert tags_read(read(tmp_path, *mixed, tag_scheme="iob1")) == {("B-PER", "I-PER"), ("B-PER",)}
    plain = read(tmp_path, *mixed, tag_scheme="none")
    assert plain.features.label_names == ["B-PER", "I-PER", "O"]
    assert plain.task_arguments()["tag_scheme"] == "none"
    with pytest.raises(DataError, match=r"tag_scheme=iobes: the tag 'NOUN' is not O or one of B-…"):
        read(tmp_path, "B-PER", "NOUN", tag_scheme="iobes")


def test_a_file_in_iob1_is_learnt_in_iob2(tmp_path: Path) -> None:
    (tmp_path / "a.conll").write_text("the I-PER\nold I-PER\ncow B-PER\n\nhorse O\n")
    data = datamodule(tmp_path / "a.conll")
    assert data.features.label_names == ["O", "B-PER", "I-PER"]
    assert sorted(all_labels(data)) == [0, 1, 1, 2]


def test_every_type_of_entity_has_both_tags_in_the_order_of_types() -> None:
    features = features_of()
    encoded(features, [{"tokens": ["a", "b"], "tags": ["B-b", "B-a"]}])
    assert features.label_names == ["O", "B-a", "I-a", "B-b", "I-b"]
    encoded(features, [{"tokens": ["a", "b"], "tags": ["NOUN", "ADJ"]}])
    assert features.label_names == ["ADJ", "NOUN"]
    encoded(features, [{"tokens": ["a", "b", "c"], "tags": [10, 9, 2.0]}])
    assert features.label_names == ["2", "9", "10"]


@pytest.mark.parametrize("missing", [None, ""])
def test_a_missing_tag_is_left_out_of_the_loss_and_a_row_of_them_altogether(
    missing: object,
) -> None:
    assert tagged([missing, "x", "y"]) == (None, "x", "y")
    assert tagged([missing, missing]) is None
    assert tagged(missing, ["a", "b"]) is None
    rows = encoded(features_of(), [{"tokens": ["a", "b", "c"], "tags": ["x", missing, "y"]}])
    batch = whole_batch(rows)
    assert batch.labels.tolist() == [0, -100, 1]
    assert rows.num_targets.tolist() == [2]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"tokens": ["a", "b"], "tags": ["x"]}, "tags has 1 tags for 2 words"),
        ({"tokens": ["a"], "tags": ["x", "y"]}, "tags has 2 tags for 1 words"),
        ({"tokens": ["a", 2], "tags": ["x", "y"]}, "tokens has 2 but must have words only"),
        ({"tokens": 3, "tags": ["x", "y"]}, "tokens is 3 but must be a list"),
        ({"words": ["a"], "tags": ["x"]}, "there is no 'tokens'; the row has words, tags"),
        ({"tokens": ["a"], "tags": [float("nan")]}, "the label is nan but must be text"),
        ({"tokens": ["a \ud83d"], "tags": ["x"]}, "tokens has half of a surrogate pair"),
        ({"tokens": ["a"], "tags": ["x\ud83d"]}, "the label has half of a surrogate pair"),
        ({"tokens": ["a"], "tags": 3}, "tags is 3 but must be a list"),
        ({"tokens": "Anna, sees", "tags": "B-PER, O"}, "must be tags separated by blanks alone"),
        ({"tokens": "a b c", "tags": "X; O; O;"}, "must be tags separated by blanks alone"),
    ],
)
def test_rows_that_do_not_fit_are_told(row: dict[str, Any], message: str) -> None:
    with pytest.raises(RowError, match=message):
        features_of().example(row, 0, is_labelled=True)


@pytest.mark.parametrize("form", [str, json.dumps, np.array])
def test_lists_in_the_cells_of_a_csv_file_are_read(
    form: Callable[[list[str]], object], tmp_path: Path
) -> None:
    path = tmp_path / "a.csv"
    words, tags = ["Anna", "sees", "Rome"], ["B-PER", "O", "B-LOC"]
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("tokens", "tags"), (form(words), form(tags))])
    data = datamodule(path)
    assert data.features.label_names == ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"]
    (example,) = data.sources["train"].rows.examples  # type: ignore[attr-defined]
    assert (example.words, example.tags) == (tuple(words), tuple(tags))


@pytest.mark.parametrize("form", [str, json.dumps, np.array, " ".join])
def test_the_scheme_of_lists_in_the_cells_of_a_csv_file_is_that_of_their_tags(
    form: Callable[[list[str]], object], tmp_path: Path
) -> None:
    path = tmp_path / "a.csv"
    words, tags = ["Anna", "Ines", "sees", "Rome"], ["I-PER", "B-PER", "O", "I-LOC"]
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("tokens", "tags"), (form(words), form(tags))])
    data = datamodule(path)
    assert tags_read(data) == {("B-PER", "B-PER", "O", "B-LOC")}
    assert data.facts()["tag scheme"] == "iob1, converted to iob2"
    evaluated = datamodule(path, label_names=["O", "B-LOC", "I-LOC", "B-PER", "I-PER"])
    assert tags_read(evaluated) == {("B-PER", "B-PER", "O", "B-LOC")}


@pytest.mark.parametrize("tags", ['["O", ["x"]]', "3", '"[1, 2"'])
def test_tags_that_cannot_be_read_are_told_with_file_and_row(tags: str, tmp_path: Path) -> None:
    row = f'{{"tokens": ["a", "b"], "tags": {tags}}}'
    (tmp_path / "a.jsonl").write_text('{"tokens": ["a", "b"], "tags": "I-x O"}\n' + row + "\n")
    with pytest.raises(DataError, match=r"a\.jsonl, line 2: "):
        datamodule(tmp_path / "a.jsonl")


def test_a_list_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("tokens\ttags\n['a', 'b'\tx y\n")
    with pytest.raises(DataError, match=r"a\.tsv, line 2: tokens is .* a list that cannot be read"):
        datamodule(tmp_path / "a.tsv")


def test_the_words_of_a_text_are_split_even_if_it_looks_like_a_list() -> None:
    row = features_of().row_of("['a', 'b' [x]", None)
    example = features_of().example(row, 0, is_labelled=False)
    assert example is not None and example.words == ("['a',", "'b'", "[x]")


def test_a_row_to_predict_on_needs_no_tags_and_may_be_a_text() -> None:
    found = features_of().example({"tokens": "the  old horse"}, 4, is_labelled=False)
    assert found is not None
    assert (found.id, found.words, found.tags) == (4, ("the", "old", "horse"), (None,) * 3)
    batch = whole_batch(features_of().encode([found], is_labelled=False))
    assert batch.labels.tolist() == [-100] * 3


def test_a_sentence_without_words_can_be_predicted_on() -> None:
    rows = [features_of().example({"tokens": words}, 0, False) for words in ([], ["a"], [])]
    batch = whole_batch(features_of().encode(rows, is_labelled=False))  # type: ignore[arg-type]
    assert batch.packing.cu_seqlens.tolist() == [0, 2, 5, 7]
    assert batch.positions.tolist() == [3]


def test_rows_of_a_file_that_do_not_fit_are_told_with_file_and_row(tmp_path: Path) -> None:
    good = tmp_path / "good.jsonl"
    good.write_text('{"tokens": ["a", "b"], "tags": ["x", "y"]}\n')
    bad = tmp_path / "bad.jsonl"
    bad.write_text(good.read_text() + '{"tokens": ["a", "b"], "tags": ["x"]}\n')
    with pytest.raises(DataError, match=r"bad\.jsonl, line 2: tags has 1 tags for 2 words"):
        datamodule(good, bad)
    other = tmp_path / "other.conll"
    other.write_text("# a comment\na x\n\nb z\n")
    assert datamodule(good, other).unknown_labels == {"validation": {"z": 1}}
    with pytest.raises(
        DataError,
        match=r"other\.conll, the sentence at line 4: .* 'z' does not occur in .* have x, y$",
    ):
        datamodule(good, other, on_unknown_label="error")
