"""Tokens that other files add to a vocabulary or a tokenizer.json are found, as in transformers."""

import json
from pathlib import Path
from typing import Any

import pytest

from clozekit.corpus.tokenizers.tokenizer_files import load_tokenizer
from clozekit.errors import DataError
from tests.corpus.tokenizers.test_tokenizer_class import check_as_in_transformers, vocabulary
from tests.kinds_of_tokenizers import plain_tokenizer

TEXTS = ("[e1] old [E2] horse", "the[e1] [e1]fed [E2]", "old  [e1]  [e2] x")


def size(kind: str) -> int:
    return len(plain_tokenizer(kind).get_vocab())


def token(content: str, **flags: bool) -> dict[str, Any]:
    given = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized", "special"), False)
    return {"content": content, **given, **flags}


def folder_of(folder: Path, kind: str, has_json: bool, **settings: Any) -> Path:
    vocabulary(folder, kind, **settings)
    if has_json:
        plain_tokenizer(kind).save(str(folder / "tokenizer.json"))
    return folder


@pytest.mark.parametrize("has_json", [False, True])
@pytest.mark.parametrize("kind", ["wordpiece", "roberta"])
@pytest.mark.parametrize("special", [False, True])
@pytest.mark.parametrize("stripped", [False, True])
def test_those_of_the_decoder_are_found(
    tmp_path: Path, kind: str, has_json: bool, special: bool, stripped: bool
) -> None:
    first = token("[e1]", special=special, lstrip=stripped)
    decoder = {str(size(kind) + 1): token("[E2]", normalized=True), str(size(kind)): first}
    folder_of(tmp_path, kind, has_json, added_tokens_decoder=decoder)
    check_as_in_transformers(tmp_path, *TEXTS)
    made = load_tokenizer(tmp_path)
    assert made.token_to_id("[e1]") == size(kind)
    added: Any = made.get_added_tokens_decoder()[size(kind)]
    assert (added.special, added.lstrip) == (special, stripped)


@pytest.mark.parametrize("has_json", [False, True])
@pytest.mark.parametrize("kind", ["wordpiece", "roberta"])
@pytest.mark.parametrize("key", [None, "additional_special_tokens", "extra_special_tokens"])
def test_those_of_added_tokens_json_are_found(
    tmp_path: Path, kind: str, has_json: bool, key: str | None
) -> None:
    folder_of(tmp_path, kind, has_json, **({} if key is None else {key: ["[e1]"]}))
    ids = {"[E2]": size(kind) + 1, "[e1]": size(kind)}
    (tmp_path / "added_tokens.json").write_text(json.dumps(ids))
    check_as_in_transformers(tmp_path, *TEXTS)
    added: Any = load_tokenizer(tmp_path).get_added_tokens_decoder()
    assert added[size(kind)].special == (key is not None)
    assert not added[size(kind) + 1].special


@pytest.mark.parametrize("has_json", [False, True])
def test_a_special_token_in_the_vocabulary_is_not_split(tmp_path: Path, has_json: bool) -> None:
    known = max(plain_tokenizer("wordpiece").get_vocab(), key=lambda text: text.startswith("##"))
    folder_of(tmp_path, "wordpiece", has_json, additional_special_tokens=[known, "[PAD]"])
    check_as_in_transformers(tmp_path, f"a {known} horse", f"horse{known} [PAD]")
    folder_of(tmp_path, "wordpiece", has_json, additional_special_tokens=[known, "not there"])
    ours = load_tokenizer(tmp_path)
    assert ours.encode(f"a {known} horse").tokens[2] == known
    assert ours.token_to_id("not there") is None  # the model might have no row for it


def test_an_id_that_the_token_would_not_have_is_refused(tmp_path: Path) -> None:
    folder_of(tmp_path, "wordpiece", False)
    known = size("wordpiece")
    (tmp_path / "added_tokens.json").write_text(json.dumps({"[e1]": known + 7}))
    message = rf"added_tokens\.json gives the token '\[e1\]' the id {known + 7}, but with the voc"
    with pytest.raises(DataError, match=message + rf"abulary it has {known}; both should be the s"):
        load_tokenizer(tmp_path)
    folder_of(tmp_path, "wordpiece", True, added_tokens_decoder={"9": token("[PAD]")})
    with pytest.raises(DataError, match=r"config\.json gives the token '\[PAD\]' the id 9, but"):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize(
    "decoder",
    [
        [],
        {"x": token("[e1]")},
        {"9": "[e1]"},
        {"9": {"lstrip": True}},
        {"9": token("a\ud800")},
        {"9": token("[e1]") | {"special": "yes"}},
    ],
)
def test_a_damaged_decoder_is_refused(tmp_path: Path, decoder: Any) -> None:
    folder_of(tmp_path, "wordpiece", False, added_tokens_decoder=decoder)
    with pytest.raises(
        DataError, match=r"tokenizer_config\.json: added_tokens_decoder.+should map"
    ):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize("content", ['{"a": "b"}', '{"a": true}', r'{"\ud800": 150}'])
def test_a_damaged_list_is_refused(tmp_path: Path, content: str) -> None:
    folder_of(tmp_path, "wordpiece", False)
    (tmp_path / "added_tokens.json").write_text(content)
    with pytest.raises(DataError, match=r"added_tokens\.json has .+; it should map tokens to ids"):
        load_tokenizer(tmp_path)


@pytest.mark.parametrize("extra", [5, [5], "ab", ["\ud800"]])
def test_damaged_special_tokens_are_refused(tmp_path: Path, extra: Any) -> None:
    folder_of(tmp_path, "wordpiece", False, additional_special_tokens=extra)
    with pytest.raises(DataError, match=r"additional_special_tokens.+it should be .*tokens?"):
        load_tokenizer(tmp_path)
