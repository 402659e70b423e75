"""Rows of questions: what their cells may hold, their ids, and which of them are held out."""

import json
from pathlib import Path
from typing import Any

import pytest

from clozekit.data.labelled.examples import groups_of, strata_of, subset
from clozekit.data.labelled.features import RowError
from clozekit.data.labelled.held_out import held_out
from clozekit.data.labelled.question_answering import (
    QuestionAnsweringDataModule,
    QuestionAnsweringFeatures,
)
from clozekit.errors import DataError
from tests.data.labelled.paragraph_rows import row
from tests.data.spelling import spelling_tokenizer


def test_a_question_of_unknown_answers_is_left_out() -> None:
    features = QuestionAnsweringFeatures(spelling_tokenizer())
    assert features.example(row("the cow", answers=None), 0, is_labelled=True) is None


def test_the_place_of_an_answer_may_be_a_whole_number_with_a_point() -> None:
    features = QuestionAnsweringFeatures(spelling_tokenizer())
    answers = {"text": ["cow"], "answer_start": [4.0]}
    example = features.example(row("the cow", answers=answers), 0, is_labelled=True)
    assert example is not None and example.answer_start == (4,)


def test_the_rows_ids_are_those_of_the_column() -> None:
    features = QuestionAnsweringFeatures(spelling_tokenizer())
    ids = [
        features.example(one, 5, is_labelled=True)
        for one in (row("a", id="x"), row("a", id=3), {**row("a"), "id": None})
    ]
    assert [example.id for example in ids if example is not None] == ["x", 3, 5]


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        (
            {"text": ["cat"], "answer_start": [4]},
            "'cat' of the question with id 'q' does not match",
        ),
        ({"text": ["cow"], "answer_start": [3]}, "which has ' co' at character 3"),
        ({"text": ["cow"], "answer_start": [-3]}, "at character -3"),
        ({"text": [""], "answer_start": [0]}, "the answer '' of"),
        ({"text": ["cow"], "answer_start": []}, "lists `text` and `answer_start` of equal length"),
        ({"text": ["cow"], "answer_start": [None]}, "`answer_start` must have whole numbers"),
        ({"text": ["cow"], "answer_start": [4.5]}, "`answer_start` must have whole numbers"),
        ({"text": ["cow"]}, "lists `text` and `answer_start`"),
        ([{"text": "cow", "answer_start": 4}], "lists `text` and `answer_start`"),
        ("cow", "lists `text` and `answer_start`"),
        ({"text": ["cow"], "answer_start": [True]}, "`answer_start` must have whole numbers"),
        ({"text": "cow", "answer_start": [4, 5, 6]}, "lists `text` and `answer_start`"),
        ("{'text': ['cow' 'x', 'y'], 'answer_start': [4, 5]}", "lists `text` and `answer_start`"),
    ],
)
def test_answers_that_are_not_where_they_should_be_are_told(answers: object, message: str) -> None:
    features = QuestionAnsweringFeatures(spelling_tokenizer())
    with pytest.raises(RowError, match=message):
        features.example(row("the cow", answers=answers), 0, is_labelled=True)


def test_an_answer_that_is_not_in_its_paragraph_is_told_with_file_and_id(tmp_path: Path) -> None:
    paragraph = {
        "context": "the cow",
        "qas": [
            {"id": "a1", "question": "Who?", "answers": [{"text": "cow", "answer_start": 4}]},
            {"id": "b2", "question": "Who?", "answers": [{"text": "cat", "answer_start": 4}]},
        ],
    }
    path = tmp_path / "bad.json"
    path.write_text(json.dumps({"data": [{"paragraphs": [paragraph]}]}))
    with pytest.raises(DataError, match=r"bad\.json, question 2: .*'cat' .* id 'b2' .*'cow' at"):
        QuestionAnsweringDataModule(
            tokenizer=spelling_tokenizer(),
            train=str(path),
            seed=0,
            global_batch_size=2,
            micro_batch_size=2,
        )


@pytest.mark.parametrize(
    "answers",
    [
        {"text": ["cow"], "answer_start": [4]},
        '{"text": ["cow"], "answer_start": [4]}',
        "{'text': ['cow'], 'answer_start': [4]}",
        "{'text': array(['cow'], dtype=object), 'answer_start': array([4], dtype=int32)}",
    ],
)
def test_answers_may_stand_in_a_cell_as_json_python_or_numpy_write_them(answers: object) -> None:
    features = QuestionAnsweringFeatures(spelling_tokenizer())
    example = features.example(row("the cow", answers=answers), 0, is_labelled=True)
    assert example is not None and (example.answers, example.answer_start) == (("cow",), (4,))
    assert features.example(row("the cow", answers=""), 0, is_labelled=True) is None


@pytest.mark.parametrize("flag", [True, "true", "True", 1, "1"])
def test_an_impossible_question_has_no_answer_whatever_stands_there(flag: object) -> None:
    features = QuestionAnsweringFeatures(spelling_tokenizer())
    for answers in ({"text": ["cow"], "answer_start": [4]}, None, {"text": [], "answer_start": []}):
        example = features.example(
            row("the cow", answers=answers, is_impossible=flag), 0, is_labelled=True
        )
        assert example is not None and example.answers == ()


@pytest.mark.parametrize("flag", [False, "false", 0, None, ""])
def test_a_question_that_is_not_impossible_has_its_answers(flag: object) -> None:
    features = QuestionAnsweringFeatures(spelling_tokenizer())
    example = features.example(row("the cow", "cow", 4, is_impossible=flag), 0, True)
    assert example is not None and example.answers == ("cow",)
    none = row("the cow", is_impossible=flag)
    if flag in (None, ""):
        assert features.example(none, 0, is_labelled=True) is not None
    else:
        with pytest.raises(RowError, match="is_impossible is false, but the question with id 'q'"):
            features.example(none, 0, is_labelled=True)


@pytest.mark.parametrize("flag", ["maybe", 2, [True], 0.5])
def test_another_flag_is_told(flag: object) -> None:
    features = QuestionAnsweringFeatures(spelling_tokenizer())
    with pytest.raises(RowError, match=r"is_impossible is .* but must be true or false"):
        features.example(row("the cow", "cow", 4, is_impossible=flag), 0, is_labelled=True)


def questions(path: Path, ids: list[Any]) -> str:
    """Writes rows of JSON lines, or SQuAD's format if the file ends so."""
    rows = [row("the cow", "cow", 4, id=each) for each in ids]
    lines = "".join(json.dumps(one) + "\n" for one in rows)
    if path.suffix == ".json":
        answers = [{"text": "cow", "answer_start": 4}]
        qas = [{"id": each, "question": "Who?", "answers": answers} for each in ids]
        lines = json.dumps({"data": [{"paragraphs": [{"context": "the cow", "qas": qas}]}]})
    path.write_text(lines)
    return str(path)


@pytest.mark.parametrize(("name", "place"), [("a.jsonl", "line 3"), ("a.json", "question 3")])
@pytest.mark.parametrize("ids", [["x", "y", "x"], [1, 2, "1"], ["1", "y", None, "2"]])
def test_an_id_that_occurs_twice_is_refused(
    name: str, place: str, ids: list[Any], tmp_path: Path
) -> None:
    features = QuestionAnsweringFeatures(spelling_tokenizer())
    rows = features.read_rows(questions(tmp_path / name, ids))
    if None in ids:
        place, first = place.replace("3", "4"), place.replace("3", "3")
    else:
        first = place.replace("3", "1")
    with pytest.raises(DataError, match=rf"{place}: the id .* occurs twice, first at {first}"):
        list(rows)
    good = features.read_rows(questions(tmp_path / name, ["x", "y", "z"]))
    assert len(list(good)) == len(list(good)) == 3, "read twice, every id is once in the file"


def test_questions_of_one_paragraph_are_held_out_together() -> None:
    features = QuestionAnsweringFeatures(spelling_tokenizer())
    contexts = [f"paragraph {number // 3}" for number in range(60)]
    examples = [features.example(row(c, "paragraph"), i, True) for i, c in enumerate(contexts)]
    known = [example for example in examples if example is not None]
    is_held_out = held_out(strata_of(known, features), groups_of(known, features), 0.2, seed=1)
    assert is_held_out.sum() == 12
    stay, out = subset(known, ~is_held_out), subset(known, is_held_out)
    assert not {e.context for e in stay} & {e.context for e in out}
