"""A tokenizer whose parts do not fit together is refused where it is read."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer
from tokenizers.models import BPE, WordLevel, WordPiece

from clozekit.corpus.manifest import MOST_TOKENS
from clozekit.corpus.tokenizers.tokenizer_check import check_encodes, check_parts
from clozekit.corpus.tokenizers.tokenizer_files import load_tokenizer, tokenizer_from_json
from clozekit.errors import DataError
from tests.corpus.made_texts import make_documents, prepare_text, write_text
from tests.kinds_of_tokenizers import KINDS, plain_tokenizer, tokenizer_of, write_tokenizer

_Content = dict[str, Any]


def _entry(content: _Content, token: str) -> _Content:
    found: _Content = content["post_processor"]["special_tokens"][token]
    return found


def _no_entry(content: _Content) -> None:
    del content["post_processor"]["special_tokens"]["[CLS]"]


def _unknown_in_pair(content: _Content) -> None:
    content["post_processor"]["pair"].append({"SpecialToken": {"id": "[NO]", "type_id": 1}})


def _empty_mask(content: _Content) -> None:
    table = content["post_processor"]["special_tokens"]
    table["mask_token"] = {"id": "mask_token", "ids": [], "tokens": []}


def _vocabulary(content: _Content, **ids: int) -> None:
    content["model"]["vocab"] |= ids


def _same_special(content: _Content) -> None:
    vocabulary = content["model"]["vocab"]
    vocabulary["[MASK]"] = vocabulary["[SEP]"]
    content["added_tokens"] = [t for t in content["added_tokens"] if t["content"] != "[MASK]"]


def _same_word(content: _Content) -> None:
    vocabulary = content["model"]["vocab"]
    vocabulary["the"] = vocabulary["[SEP]"] + 7


SPOILED: dict[str, tuple[Callable[[_Content], object], str]] = {
    "another id": (
        lambda content: _entry(content, "[CLS]").update(ids=[99999]),
        r"the post-processor gives the token '\[CLS\]' the id 99999, but the vocabulary gives it",
    ),
    "the id of a word": (
        lambda content: _entry(content, "[SEP]").update(ids=[50]),
        r"the post-processor gives the token '\[SEP\]' the id 50, but the vocabulary gives it the",
    ),
    "a token that is not there": (
        lambda content: _entry(content, "[SEP]").update(tokens=["[END]"]),
        r"gives the token '\[END\]' the id \d+, but the vocabulary does not have it",
    ),
    "no entry": (_no_entry, r"has '\[CLS\]', which its special_tokens do not list; .+'\[SEP\]'"),
    "no entry of a pair": (_unknown_in_pair, r"has '\[NO\]', which its special_tokens do not list"),
    "an entry without tokens": (
        _empty_mask,
        r"'mask_token' in the special_tokens of .+ has the tokens \[\] with the ids \[\]; it",
    ),
    "no tokens": (
        lambda content: _entry(content, "[CLS]").update(tokens=[], ids=[]),
        r"'\[CLS\]' in the special_tokens of the post-processor has the tokens \[\]",
    ),
    "fewer tokens than ids": (
        lambda content: _entry(content, "[CLS]").update(tokens=[]),
        r"'\[CLS\]' in the special_tokens of the post-processor has the tokens \[\]",
    ),
    "the largest id": (
        lambda content: _vocabulary(content, zzz=2**32 - 1),
        r"the token 'zzz' has the id 4294967295; ids should be less than 16,777,216",
    ),
    "an id that no corpus may have": (
        lambda content: _vocabulary(content, zzz=MOST_TOKENS),
        r"the token 'zzz' has the id 16777216; ids should be less than 16,777,216",
    ),
    "one id of two special tokens": (
        _same_special,
        r"the tokens '\[MASK\]' and '\[SEP\]' have the same id \d+; each token should have its own",
    ),
    "one id of two words": (_same_word, r"the tokens '.+' and '.+' have the same id \d+"),
    "no vocabulary": (
        lambda content: content["model"].update(vocab={}),
        r"cannot encode '.+': WordPiece error: Missing \[UNK\] token",
    ),
}


def _spoiled(spoil: Callable[[_Content], object]) -> str:
    content = json.loads(plain_tokenizer("wordpiece").to_str())
    spoil(content)
    return json.dumps(content)


@pytest.mark.parametrize("what", SPOILED)
def test_a_spoiled_tokenizer_is_refused(tmp_path: Path, what: str) -> None:
    spoil, message = SPOILED[what]
    with pytest.raises(DataError, match=rf"^the tokenizer in x\.ckpt:? ?.*{message}"):
        tokenizer_from_json(_spoiled(spoil), "the tokenizer in x.ckpt")
    (tmp_path / "tokenizer.json").write_text(_spoiled(spoil))
    with pytest.raises(DataError, match=rf"tokenizer\.json:? .*{message}"):
        load_tokenizer(tmp_path)


def test_prepare_refuses_it_before_it_reads_the_source(tmp_path: Path) -> None:
    path = write_text(tmp_path / "a.txt", make_documents(60))
    (tmp_path / "bad.json").write_text(_spoiled(SPOILED["another id"][0]))
    with pytest.raises(DataError, match=r"bad\.json: the post-processor gives"):
        prepare_text(tmp_path / "out", path, tokenizer={"path": str(tmp_path / "bad.json")})


def test_the_ends_of_a_roberta_tokenizer_are_checked() -> None:
    content = json.loads(plain_tokenizer("roberta").to_str())
    content["post_processor"]["sep"][1] += 1
    with pytest.raises(DataError, match=r"^it: the post-processor gives the token '</s>' the id"):
        tokenizer_from_json(json.dumps(content), "it")


@pytest.mark.parametrize("file", ["vocab.json", "tokenizer.json"])
def test_byte_level_tokenizers_in_two_files_are_checked(tmp_path: Path, file: str) -> None:
    tokenizer = plain_tokenizer("roberta")
    if file == "vocab.json":
        tokenizer.model.save(str(tmp_path))
        vocabulary = json.loads((tmp_path / file).read_text())
        vocabulary["<s>"] = vocabulary["a"]
        (tmp_path / file).write_text(json.dumps(vocabulary))
    else:
        content = json.loads(tokenizer.to_str())
        content["model"]["vocab"]["<s>"] = content["model"]["vocab"]["a"]
        (tmp_path / file).write_text(json.dumps(content))
    with pytest.raises(DataError, match=rf"{file}: .+(have the same id|the post-processor gives)"):
        load_tokenizer(tmp_path)


def test_a_panic_of_the_library_is_told() -> None:
    content = json.loads(plain_tokenizer("wordpiece").to_str())
    _unknown_in_pair(content)
    with pytest.raises(DataError, match=r"^it cannot encode "):
        check_encodes(Tokenizer.from_str(json.dumps(content)), "it")


def _with_normalizer(tmp_path: Path, *normalizers: _Content) -> Path:
    content = json.loads(plain_tokenizer("wordpiece").to_str())
    content["normalizer"] = {"type": "Sequence", "normalizers": normalizers}
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    return tmp_path


def _replacement(kind: str, pattern: str, content: str) -> _Content:
    return {"type": "Replace", "pattern": {kind: pattern}, "content": content}


def test_a_panic_while_a_file_is_read_is_told(tmp_path: Path) -> None:
    damaged = {"type": "Precompiled", "precompiled_charsmap": "AAAA"}
    _with_normalizer(tmp_path, damaged)
    with pytest.raises(DataError, match=rf"^{tmp_path}/tokenizer.json is not a tokenizer.json: .+"):
        load_tokenizer(tmp_path)
    with pytest.raises(DataError, match=r"^it is not a tokenizer.json: .+"):
        tokenizer_from_json((tmp_path / "tokenizer.json").read_text(), "it")


@pytest.mark.parametrize(
    "bomb",
    [
        [_replacement("Regex", ".", "ababababab")] * 6,
        [_replacement("String", "e", "e" * 400)] * 2,
        [_replacement("Regex", "x*", "a")] * 17,
        [{"type": "Sequence", "normalizers": [_replacement("String", "e", "ee")] * 20}],
    ],
)
def test_a_normalizer_that_multiplies_a_text_is_refused(
    tmp_path: Path, bomb: list[_Content]
) -> None:
    start = time.process_time()
    with pytest.raises(DataError, match=r"json: the replacements of its normalizer .+100,000 ti"):
        load_tokenizer(_with_normalizer(tmp_path, *bomb))
    assert time.process_time() - start < 1


def test_other_replacements_pass(tmp_path: Path) -> None:
    removed = [_replacement("Regex", "[\u0300-\u036f]", "")] * 20
    spaces = [_replacement("Regex", " {2,}", " "), _replacement("String", " ", "\u2581")]
    load_tokenizer(_with_normalizer(tmp_path, *removed, *spaces, *[spaces[1]] * 30))


@pytest.mark.parametrize("kind", KINDS)
def test_sound_tokenizers_pass(kind: str) -> None:
    for tokenizer in (plain_tokenizer(kind), tokenizer_of(kind)):
        check_parts(tokenizer, "it")
        check_encodes(tokenizer, "it")


def test_ids_with_gaps_and_added_tokens_that_repeat_pieces_pass() -> None:
    vocabulary = {"[UNK]": 0, "a": 1, "b": 7, "c": 3}
    for model in (WordLevel(vocabulary, "[UNK]"), WordPiece(vocabulary), BPE(vocabulary, [])):
        tokenizer = Tokenizer(model)
        tokenizer.add_tokens(["b", "c"])
        check_parts(tokenizer, "it")


def test_a_large_vocabulary_is_checked_in_a_moment() -> None:
    tokenizer = Tokenizer(WordLevel({f"w{i}": i for i in range(250_000)}, "w0"))
    tokenizer.add_special_tokens(["w1", "[NEW]"])
    start = time.process_time()
    check_parts(tokenizer, "it")
    check_encodes(tokenizer, "it")
    assert time.process_time() - start < 0.5  # 0.06 s on an idle core


@pytest.mark.parametrize("key", ["lowercase", "strip_accents", "handle_chinese_chars"])
@pytest.mark.parametrize("kind", ["wordpiece", "roberta"])
def test_switches_of_a_normalizer_are_refused_where_a_folder_has_its_own(
    tmp_path: Path, key: str, kind: str
) -> None:
    folder = write_tokenizer(tmp_path / "model", kind)
    if kind == "roberta":
        (folder / "tokenizer.json").unlink()
        plain_tokenizer(kind).model.save(str(folder))
    source = write_text(tmp_path / "a.txt", make_documents(60))
    tokenizer = {"path": str(folder), key: False}
    message = rf"^tokenizer\.{key}=false cannot change {folder}/\w+\.json, which has its own "
    with pytest.raises(DataError, match=message + rf"normalizer; set {key} only with a vocab.txt"):
        prepare_text(tmp_path / "out", source, tokenizer=tokenizer)
    words = plain_tokenizer("wordpiece").get_vocab()
    (folder / "vocab.txt").write_text("\n".join(sorted(words, key=lambda word: words[word])))
    with pytest.raises(DataError, match=message + rf"normalizer; set {key} only with {folder}/voc"):
        prepare_text(tmp_path / "out", source, tokenizer=tokenizer)
    if kind == "wordpiece":
        tokenizer["path"] = str(folder / "vocab.txt")
        prepare_text(tmp_path / "out", source, tokenizer=tokenizer)
