"""The class that a folder names decides how its vocabulary is used, as in transformers."""

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, normalizers, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer

from clozekit.corpus.tokenizers.tokenizer_files import load_tokenizer
from clozekit.errors import DataError
from tests.kinds_of_tokenizers import NAMES, SENTENCES, plain_tokenizer, write_tokenizer

TEXTS = ("The Old horse", "crêpes near the Rhône, 北京大学", "Don't play [MASK] horses <mask> now")
CONVERT = r"AutoTokenizer\.from_pretrained\(folder\)\.save_pretrained\(folder\)$"


def vocabulary(folder: Path, kind: str, in_config: bool = False, **settings: Any) -> Path:
    """Writes a tokenizer as a vocabulary alone, as old folders have it."""
    tokenizer = plain_tokenizer(kind)
    tokenizer.model.save(str(folder))
    keys: dict[str, Any] = {f"{role}_token": token for role, token in NAMES[kind].items()}
    if kind == "roberta":  # without it, versions of transformers differ
        keys["mask_token"] = {"__type": "AddedToken", "content": "<mask>", "lstrip": True}
    keys |= settings
    name = keys.pop("tokenizer_class", None)
    model = {"model_type": "bert" if kind == "wordpiece" else "roberta"}
    (folder / "config.json").write_text(
        json.dumps(model | ({"tokenizer_class": name} if in_config else {}))
    )
    if name is not None and not in_config:
        keys["tokenizer_class"] = name
    (folder / "tokenizer_config.json").write_text(json.dumps(keys))
    return folder


def check_as_in_transformers(folder: Path, *texts: str) -> None:
    # Commands that tests start cannot import transformers.
    from transformers import AutoTokenizer

    ours, theirs = load_tokenizer(folder), AutoTokenizer.from_pretrained(folder)
    for text in texts or TEXTS:
        assert ours.encode(text).ids == theirs(text).input_ids
        assert ours.encode(text, "a horse").ids == theirs(text, "a horse").input_ids


@pytest.mark.parametrize("name", [None, "BertTokenizer", "DistilBertTokenizer", "ElectraTokenizer"])
@pytest.mark.parametrize("in_config", [False, True])
def test_a_vocabulary_of_bert_is_read(tmp_path: Path, name: str | None, in_config: bool) -> None:
    check_as_in_transformers(vocabulary(tmp_path, "wordpiece", in_config, tokenizer_class=name))


@pytest.mark.parametrize("name", [None, "RobertaTokenizer", "LongformerTokenizerFast"])
@pytest.mark.parametrize("space", [False, True])
def test_a_vocabulary_of_roberta_is_read(tmp_path: Path, name: str | None, space: bool) -> None:
    folder = vocabulary(tmp_path, "roberta", tokenizer_class=name, add_prefix_space=space)
    check_as_in_transformers(folder)


@pytest.mark.parametrize("in_config", [False, True])
@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("wordpiece", "BertJapaneseTokenizer"),
        ("wordpiece", "KoBertTokenizer"),
        ("wordpiece", "MPNetTokenizerFast"),
        ("wordpiece", "RobertaTokenizer"),
        ("roberta", "HerbertTokenizer"),
        ("roberta", "PhobertTokenizer"),
        ("roberta", "DebertaTokenizer"),
    ],
)
def test_other_classes_are_refused(tmp_path: Path, kind: str, name: str, in_config: bool) -> None:
    vocabulary(tmp_path, kind, in_config, tokenizer_class=name)
    file = "vocab.txt" if kind == "wordpiece" else "vocab.json"
    message = rf"^{tmp_path}/{file}: tokenizer_class={name} splits text in its own way, .+{CONVERT}"
    with pytest.raises(DataError, match=message):
        load_tokenizer(tmp_path)
    # What a tokenizer.json says needs no class.
    plain_tokenizer(kind).save(str(tmp_path / "tokenizer.json"))
    load_tokenizer(tmp_path)


def test_a_vocabulary_with_ends_of_words_is_refused(tmp_path: Path) -> None:
    special = [*NAMES["roberta"].values()]
    tokenizer = Tokenizer(BPE(unk_token="<unk>", end_of_word_suffix="</w>"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.train_from_iterator(
        SENTENCES,
        BpeTrainer(vocab_size=100, special_tokens=special, end_of_word_suffix="</w>"),
    )
    tokenizer.model.save(str(tmp_path))
    # The first token may be an apostrophe: the ids of an alphabet differ between trainings.
    with pytest.raises(DataError, match=rf"vocab\.json: .+</w>. marks the end of a .+{CONVERT}"):
        load_tokenizer(tmp_path)


def test_a_class_that_is_no_name_is_refused(tmp_path: Path) -> None:
    vocabulary(tmp_path, "wordpiece", tokenizer_class=["BertTokenizer"])
    with pytest.raises(DataError, match=r"config\.json: tokenizer_class=\['BertTokenizer'\]; it"):
        load_tokenizer(tmp_path)


SWITCHES: list[dict[str, Any]] = [
    {},
    {"do_lower_case": False},
    {"do_lower_case": False, "strip_accents": True},
    {"do_lower_case": True, "strip_accents": False, "tokenize_chinese_chars": False},
]


@pytest.mark.parametrize("cased", [False, True])
@pytest.mark.parametrize("settings", SWITCHES)
@pytest.mark.parametrize("name", [None, "BertTokenizer", "ElectraTokenizerFast"])
def test_switches_of_bert_count_more_than_its_tokenizer_json(
    tmp_path: Path, name: str | None, settings: dict[str, Any], cased: bool
) -> None:
    vocabulary(tmp_path, "wordpiece", tokenizer_class=name, **settings)
    tokenizer = Tokenizer.from_str(plain_tokenizer("wordpiece").to_str())
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=not cased)  # type: ignore[assignment]
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    check_as_in_transformers(tmp_path)


@pytest.mark.parametrize("settings", [{}, {"add_prefix_space": False}, {"add_prefix_space": True}])
@pytest.mark.parametrize("in_json", [False, True])
@pytest.mark.parametrize("name", [None, "RobertaTokenizer", "BartTokenizerFast"])
def test_the_space_of_roberta_counts_more_than_its_tokenizer_json(
    tmp_path: Path, name: str | None, settings: dict[str, Any], in_json: bool
) -> None:
    vocabulary(tmp_path, "roberta", tokenizer_class=name, **settings)
    tokenizer = Tokenizer.from_str(plain_tokenizer("roberta").to_str())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=in_json)  # type: ignore[assignment]
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    check_as_in_transformers(tmp_path)


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("wordpiece", {"do_lower_case": False}),
        ("roberta", {"add_prefix_space": True}),
        ("modernbert", {"add_prefix_space": True, "tokenizer_class": "RobertaTokenizer"}),
    ],
)
def test_a_tokenizer_json_of_a_class_without_settings_is_taken_as_it_is(
    tmp_path: Path, kind: str, settings: dict[str, Any]
) -> None:
    write_tokenizer(tmp_path, kind, **settings)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind}))
    check_as_in_transformers(tmp_path)


@pytest.mark.parametrize("class_name", ["BertTokenizer", "PreTrainedTokenizerFast"])
def test_several_normalizers_stay(tmp_path: Path, class_name: str) -> None:
    write_tokenizer(tmp_path, "wordpiece", tokenizer_class=class_name, do_lower_case=False)
    tokenizer = Tokenizer.from_str(plain_tokenizer("wordpiece").to_str())
    both = normalizers.Sequence([normalizers.NFKC(), normalizers.BertNormalizer()])
    tokenizer.normalizer = both  # type: ignore[assignment]
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    for text in TEXTS:
        assert load_tokenizer(tmp_path).encode(text).ids == tokenizer.encode(text).ids


def test_a_setting_that_is_no_switch_is_refused(tmp_path: Path) -> None:
    write_tokenizer(tmp_path, "wordpiece", tokenizer_class="BertTokenizer", do_lower_case="no")
    with pytest.raises(DataError, match=r"do_lower_case='no'; it should be true or false"):
        load_tokenizer(tmp_path)
