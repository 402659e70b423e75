"""SQuAD's files: what is one, and what is nearly one."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from clozekit.data.files.squad import read_squad
from clozekit.errors import DataError
from tests.data.labelled.written_rows import read

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


@pytest.mark.parametrize(
    ("article", "message"),
    [
        ({}, r"data\[0\] is not in SQuAD's format \(KeyError: 'paragraphs'\)"),
        ({"paragraphs": None}, r"data\[0\] .*TypeError"),
        (
            {"paragraphs": [{"context": "a", "qas": ["b"]}]},
            r"data\[0\] .*TypeError: string indices",
        ),
        (
            {
                "paragraphs": [
                    {
                        "context": "a",
                        "qas": [{"id": 1, "question": "b", "answers": [{"text": "a"}]}],
                    }
                ]
            },
            r"data\[0\] .*KeyError: 'answer_start'",
        ),
        ({"paragraphs": []}, "has no questions"),
    ],
)
def test_what_is_nearly_squad_is_told(article: object, message: str, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"data": [article]}))
    with pytest.raises(DataError, match=message):
        read_squad(str(tmp_path / "a.json"))
