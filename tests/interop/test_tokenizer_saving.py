"""An exported tokenizer gives the same ids in transformers, whatever its parts."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tokenizers import AddedToken, Tokenizer, normalizers, pre_tokenizers, processors
from transformers import AutoTokenizer

from clozekit.corpus.tokenizers.tokenizer_files import load_tokenizer, tokenizer_from_json
from clozekit.interop.tokenizer_saving import save_tokenizer
from tests.kinds_of_tokenizers import (
    BERT_NAMES,
    KINDS,
    plain_tokenizer,
    tokenizer_of,
)
from tests.models.batches import tiny_config

TEXTS = (
    "the old horse",
    "The Café, near (at noon)!",
    "horse-power 12345",
    "北京大学 is far",
    "[e1] old [e2] horse  x",
    "don't\tplay\u00a0now \x07fed",
    f"{'feed' * 5} the {'a' * 101}",
    "[MASK] old <mask> horse",
)


def changed(kind: str = "wordpiece", **parts: Any) -> Tokenizer:
    tokenizer = Tokenizer.from_str(plain_tokenizer(kind).to_str())
    for name, part in parts.items():
        setattr(tokenizer, name, part)
    return tokenizer


def renamed(*names: tuple[str, str]) -> Tokenizer:
    text = plain_tokenizer("wordpiece").to_str()
    for old, new in names:
        text = text.replace(old, new)
    return Tokenizer.from_str(text)


def template(pair: str) -> Any:
    ids = plain_tokenizer("wordpiece").get_vocab()
    tokens = [(name, ids[name]) for name in ("[CLS]", "[SEP]")]
    return processors.TemplateProcessing(single="[CLS] $A [SEP]", pair=pair, special_tokens=tokens)


def with_added() -> Tokenizer:
    tokenizer = changed()
    tokenizer.add_tokens([AddedToken("[e1]", normalized=False), "horse-power"])
    tokenizer.add_special_tokens(["[e2]"])
    return tokenizer


def with_model(**keys: Any) -> Tokenizer:
    content = json.loads(plain_tokenizer("wordpiece").to_str())
    content["model"] |= keys
    return Tokenizer.from_str(json.dumps(content))


DIGITS = [pre_tokenizers.BertPreTokenizer(), pre_tokenizers.Digits(individual_digits=True)]
OF_BERT: dict[str, Callable[[], Tokenizer]] = {
    "as it is": changed,
    "cased": lambda: changed(normalizer=normalizers.BertNormalizer(lowercase=False)),
    "added tokens": with_added,
    "other names": lambda: renamed(*((BERT_NAMES[r], f"<{r}>") for r in ("cls", "sep", "unk"))),
}
OTHERS: dict[str, Callable[[], Tokenizer]] = {
    "white space": lambda: changed(pre_tokenizer=pre_tokenizers.WhitespaceSplit()),
    "digits": lambda: changed(pre_tokenizer=pre_tokenizers.Sequence(DIGITS)),
    "raw text": lambda: changed(normalizer=normalizers.BertNormalizer(clean_text=False)),
    "two separators": lambda: changed(post_processor=template("[CLS] $A [SEP] [SEP] $B:1 [SEP]:1")),
    "another prefix": lambda: Tokenizer.from_str(
        renamed(("##", "@@")).to_str().replace('"prefix":"##"', '"prefix":"@@"')
    ),
    "short words": lambda: with_model(max_input_chars_per_word=10),
    "long words": lambda: with_model(max_input_chars_per_word=200),
    "roles that nothing names": lambda: renamed(
        *((BERT_NAMES[role], f"<{role}>") for role in BERT_NAMES)
    ),
}


def check(tokenizer: Tokenizer, folder: Path, types: int = 2) -> str:
    """Returns the name of the class in transformers."""
    ours = tokenizer_from_json(tokenizer.to_str(), "it")
    save_tokenizer(ours, folder, tiny_config(type_vocab_size=types))
    (folder / "config.json").write_text(json.dumps({"model_type": "bert"}))
    theirs, again = AutoTokenizer.from_pretrained(folder), load_tokenizer(folder)
    for text in TEXTS:
        for pair in (None, "the horse"):
            ids = ours.encode(text, pair).ids
            assert (theirs(text, pair).input_ids, again.encode(text, pair).ids) == (ids, ids), text
    return type(theirs).__name__


@pytest.mark.parametrize("what", OF_BERT)
def test_what_bert_has_is_of_its_class(tmp_path: Path, what: str) -> None:
    assert check(OF_BERT[what](), tmp_path) == "BertTokenizer"
    assert (tmp_path / "vocab.txt").is_file()


@pytest.mark.parametrize("what", OTHERS)
def test_what_bert_has_not_is_of_no_class(tmp_path: Path, what: str) -> None:
    assert check(OTHERS[what](), tmp_path) == "TokenizersBackend"
    assert not (tmp_path / "vocab.txt").exists()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("types", [1, 2])
def test_every_kind_is_the_same(tmp_path: Path, kind: str, types: int) -> None:
    check(tokenizer_of(kind), tmp_path, types)


@pytest.mark.parametrize("space", [False, True])
def test_the_space_before_a_text_is_named(tmp_path: Path, space: bool) -> None:
    part = pre_tokenizers.ByteLevel(add_prefix_space=space)
    check(changed("modernbert", pre_tokenizer=part), tmp_path)
    settings = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert settings["add_prefix_space"] == space
