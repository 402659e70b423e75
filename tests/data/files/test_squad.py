"""SQuAD's files: what is one, and what is nearly one."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from clozekit.data.files.cells import RowError
from clozekit.data.files.rows import Rows
from clozekit.data.files.squad import read_squad
from clozekit.data.labelled.question_answering import QuestionAnsweringFeatures
from clozekit.errors import DataError
from tests.data.labelled.written_rows import read
from tests.data.spelling import spelling_tokenizer

V1 = {
    "version": "1.1",
    "data": [
        {
            "title": "t",
            "paragraphs": [
                {
                    "context": "Ann ate.",
                    "qas": [
                        {
                            "id": "1",
                            "question": "Who?",
                            "answers": [{"text": "Ann", "answer_start": 0}] * 2,
                        },
                        {"id": 2, "question": "What?", "answers": []},
                    ],
                }
            ],
        }
    ],
}
V2 = json.loads(json.dumps(V1))
V2["data"][0]["paragraphs"][0]["qas"][1] |= {
    "is_impossible": True,
    "plausible_answers": [{"text": "Ann", "answer_start": 0}],
}


def article(**question: object) -> dict[str, Any]:
    """An article with one question."""
    asked = {"id": 1, "question": "Who?", **question}
    return {"paragraphs": [{"context": "Ann ate.", "qas": [asked]}]}


def squad(folder: Path, *articles: object) -> Rows:
    """Reads a file of these articles, the first of which is on line 2."""
    (folder / "a.json").write_text('{"data": [\n' + json.dumps(articles)[1:] + "}")
    rows = read_squad(str(folder / "a.json"))
    assert rows is not None
    return rows


@pytest.mark.parametrize("content", [V1, V2], ids=["1.1", "2.0"])
@pytest.mark.parametrize("name", ["a.json", "a.json.gz"])
def test_squad(content: dict[str, Any], name: str, tmp_path: Path) -> None:
    raw = json.dumps(content).encode("utf-8-sig")
    (tmp_path / name).write_bytes(gzip.compress(raw) if name.endswith("gz") else raw)
    rows = read_squad(str(tmp_path / name))
    assert rows is not None
    assert list(rows.columns) == ["id", "question", "context", "answers", "is_impossible"]
    first, second = read(rows)
    assert first == {
        "id": "1",
        "question": "Who?",
        "context": "Ann ate.",
        "answers": {"text": ["Ann", "Ann"], "answer_start": [0, 0]},
        "is_impossible": None,
    }
    assert second["id"] == 2 and second["answers"] == {"text": [], "answer_start": []}


@pytest.mark.parametrize("content", ["[]", '{"data": 3}', '{"a": 1}\n{"a": 2}\n', '{"a"', "\xff"])
def test_other_json_is_left_to_other_readers(content: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(content.encode("latin-1"))
    assert read_squad(str(tmp_path / "a.json")) is None
    whole = gzip.compress(json.dumps(V1).encode())
    (tmp_path / "a.json.gz").write_bytes(whole[: len(whole) // 2])
    assert read_squad(str(tmp_path / "a.json.gz")) is None
    assert read_squad(str(tmp_path / "a.jsonl")) is None


def test_answers_may_be_lists_as_in_the_rows_of_the_hub(tmp_path: Path) -> None:
    answers = {"text": ["Ann"], "answer_start": [0]}
    assert read(squad(tmp_path, article(answers=answers)))[0]["answers"] == answers


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, r"data\[0\] has no 'paragraphs'; it has no keys"),
        ("a", r"data\[0\] is 'a' but must be an object"),
        ({"paragraphs": None}, r"data\[0\]\.paragraphs is None but must be a list"),
        ({"paragraphs": "ab"}, r"data\[0\]\.paragraphs is 'ab' but must be a list"),
        (
            {"paragraphs": [{"context": "a", "qas": {}}]},
            r"data\[0\]\.paragraphs\[0\]\.qas is {} but must be a list",
        ),
        (
            {"paragraphs": [{"context": "a", "qas": ["b"]}]},
            r"data\[0\]\.paragraphs\[0\]\.qas\[0\] is 'b' but must be an object",
        ),
        (
            {"paragraphs": [{"qas": [{"id": 1, "question": "b"}]}]},
            r"data\[0\]\.paragraphs\[0\] has no 'context'; it has qas",
        ),
        (article(answers=""), r"qas\[0\]\.answers is '' but must be a list"),
        (article(answers=["Ann"]), r"qas\[0\]\.answers\[0\] is 'Ann' but must be an object"),
        (
            article(answers=[{"text": "Ann"}]),
            r"qas\[0\]\.answers\[0\] has no 'answer_start'; it has text",
        ),
    ],
)
def test_what_is_nearly_squad_is_told(content: object, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"line 2 is not in SQuAD's format: .*{message}$"):
        squad(tmp_path, content)


def test_a_file_without_questions_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no questions"):
        squad(tmp_path, {"paragraphs": []})


def test_an_object_that_is_no_answers_is_not_read_as_no_answer(tmp_path: Path) -> None:
    row = read(squad(tmp_path, article(answers={})))[0]
    with pytest.raises(RowError, match=r"answers is {} but must have lists `text`"):
        QuestionAnsweringFeatures(spelling_tokenizer()).example(row, 0, is_labelled=True)


@pytest.mark.parametrize("twice", ["data", "version"])
def test_a_key_that_occurs_twice_is_refused(twice: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(
        f'{{"version": 1,\n"data": [{json.dumps(article())}],\n"{twice}": []}}'
    )
    rows = read_squad(str(tmp_path / "a.json"))
    assert rows is not None
    with pytest.raises(DataError, match=f"a.json, line 3 is not JSON: the key '{twice}' occurs"):
        read(rows)
