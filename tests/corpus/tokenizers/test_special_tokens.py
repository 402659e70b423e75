"""Special tokens are found by their roles."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer, pre_tokenizers
from tokenizers.models import BPE

from clozekit.corpus.tokenizers.segments import has_segments, with_segments, without_segments
from clozekit.corpus.tokenizers.special_tokens import SpecialTokens, role_names
from clozekit.corpus.tokenizers.tokenizer_files import load_tokenizer, tokenizer_from_json
from clozekit.data.sequence_format import SequenceFormat
from clozekit.errors import DataError
from tests.kinds_of_tokenizers import (
    KINDS,
    NAMES,
    ROBERTA_NAMES,
    plain_tokenizer,
    tokenizer_of,
    write_tokenizer,
)


@pytest.mark.parametrize("kind", KINDS)
def test_roles_are_those_of_the_folder_and_kept_in_the_tokenizer_alone(kind: str) -> None:
    loaded = tokenizer_of(kind)
    assert role_names(loaded) == NAMES[kind]
    alone = tokenizer_from_json(loaded.to_str(), "it")
    assert alone.to_str() == loaded.to_str()
    expected = {role: loaded.token_to_id(token) for role, token in NAMES[kind].items()}
    assert vars(SpecialTokens.from_tokenizer(alone)) == expected


@pytest.mark.parametrize("kind", ["wordpiece", "modernbert"])
def test_a_tokenizer_with_the_names_of_bert_is_not_changed(kind: str) -> None:
    assert tokenizer_of(kind).to_str() == plain_tokenizer(kind).to_str()


@pytest.mark.parametrize("kind", KINDS)
def test_the_encoding_is_not_changed(kind: str) -> None:
    for pair in (("The horse feeds", None), (" The café", "of the field."), ("", "a")):
        ours, theirs = (t.encode(*pair) for t in (tokenizer_of(kind), plain_tokenizer(kind)))
        assert (ours.ids, ours.type_ids, ours.offsets) == (
            theirs.ids,
            theirs.type_ids,
            theirs.offsets,
        )


def test_odd_names_are_found_by_their_roles(tmp_path: Path) -> None:
    names = {"<s>": "[MASK]", "<mask>": "[CLS]"}
    text = plain_tokenizer("roberta").to_str()
    for token, other in names.items():
        text = text.replace(f'"{token}"', f'"{other}"')
    (tmp_path / "tokenizer.json").write_text(text)
    settings = {"cls_token": "[MASK]", "mask_token": {"content": "[CLS]", "lstrip": True}}
    settings |= {"pad_token": "<pad>", "unk_token": "<unk>"}
    (tmp_path / "special_tokens_map.json").write_text(json.dumps(settings))
    found = role_names(load_tokenizer(tmp_path / "tokenizer.json"))
    assert found == {
        "cls": "[MASK]",
        "sep": "</s>",
        "mask": "[CLS]",
        "pad": "<pad>",
        "unk": "<unk>",
    }


@pytest.mark.parametrize("kind", ["roberta", "xlmr"])
def test_the_names_of_roberta_are_known_where_no_file_says_them(kind: str, tmp_path: Path) -> None:
    """Published folders often leave the names to the class, whose they are."""
    plain_tokenizer(kind).save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "tokenizer_config.json").write_text('{"model_max_length": 512}')
    loaded = load_tokenizer(tmp_path)
    found = role_names(loaded)
    assert {role: found[role] for role in ("cls", "sep", "pad", "mask")} == {
        role: ROBERTA_NAMES[role] for role in ("cls", "sep", "pad", "mask")
    }
    assert tokenizer_from_json(loaded.to_str(), "it").to_str() == loaded.to_str()
    assert loaded.encode("the <mask> horse").ids.count(loaded.token_to_id("<mask>")) == 1
    assert SpecialTokens.from_tokenizer(loaded).mask == loaded.token_to_id("<mask>")


def test_the_tokenizer_of_a_checkpoint_is_not_changed() -> None:
    """It may be of a run that began before these names were known, and is resumed."""
    folder_without_names = tokenizer_from_json(plain_tokenizer("roberta").to_str(), "it")
    assert "mask" not in role_names(folder_without_names)


def test_a_named_mask_counts_before_the_usual_one(tmp_path: Path) -> None:
    tokenizer = Tokenizer.from_str(plain_tokenizer("roberta").to_str())
    tokenizer.add_special_tokens(["<other>"])
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "tokenizer_config.json").write_text('{"mask_token": "<other>"}')
    loaded = load_tokenizer(tmp_path)
    assert role_names(loaded)["mask"] == "<other>"
    assert role_names(tokenizer_from_json(loaded.to_str(), "it"))["mask"] == "<other>"


def test_bos_and_eos_stand_for_missing_roles(tmp_path: Path) -> None:
    tokenizer = Tokenizer(BPE({"<b>": 0, "<e>": 1, "a": 2, "Ġ": 3}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(DataError, match="lacks a cls_token and a sep_token; name it in"):
        load_tokenizer(tmp_path)
    settings = {"bos_token": "<b>", "eos_token": "<e>", "mask_token": None}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    loaded = load_tokenizer(tmp_path)
    assert SpecialTokens.from_tokenizer(loaded) == SpecialTokens(None, None, 0, 1, None)
    assert loaded.encode("a", "a").tokens == ["<b>", "a", "<e>", "a", "<e>"]


def test_a_role_that_is_wrong_is_told_in_one_sentence(tmp_path: Path) -> None:
    folder = write_tokenizer(tmp_path, "roberta", mask_token="<none>")
    with pytest.raises(DataError, match=r"has no token '<none>', which is its mask_token"):
        load_tokenizer(folder)
    write_tokenizer(tmp_path, "roberta", mask_token="a\ud800")  # JSON may have half of a pair
    with pytest.raises(DataError, match=r"mask_token='a\\ud800'; it should be a token"):
        load_tokenizer(folder)
    write_tokenizer(tmp_path, "roberta", mask_token=["<mask>"])
    with pytest.raises(DataError, match=r"mask_token=\['<mask>'\]; it should be a token"):
        load_tokenizer(folder)


def test_the_two_files_of_gpt2_are_read(tmp_path: Path) -> None:
    plain = plain_tokenizer("roberta")
    plain.model.save(str(tmp_path))
    loaded = load_tokenizer(tmp_path)
    assert role_names(loaded) == NAMES["roberta"]
    pair = ("The old horse", "feeds <mask> field.")
    assert loaded.encode(*pair).ids == plain.encode(*pair).ids


def test_a_folder_without_a_tokenizer_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sentencepiece.bpe.model").write_bytes(b"x")
    with pytest.raises(DataError, match=r"has no tokenizer.json, no vocab.txt, and no vocab.json"):
        load_tokenizer(tmp_path)
    shutil.rmtree(tmp_path)


@pytest.mark.parametrize("kind", KINDS)
def test_an_exported_tokenizer_gives_the_second_text_its_segment(kind: str) -> None:
    plain = tokenizer_of(kind)
    made = with_segments(plain)
    before, after = (each.encode("The horse", "a cow") for each in (plain, made))
    assert (after.ids, after.offsets) == (before.ids, before.offsets)
    special, sizes = SequenceFormat.of(plain), [before.sequence_ids.count(i) for i in (0, 1)]
    assert after.type_ids == special.type_ids(np.array([sizes])).tolist()
    assert role_names(made) == NAMES[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_a_tokenizer_without_segments_remembers_it(kind: str) -> None:
    plain = tokenizer_of(kind)
    made = tokenizer_from_json(without_segments(plain).to_str(), "it")
    before, after = (each.encode("The horse", "a cow") for each in (plain, made))
    assert (after.ids, after.offsets) == (before.ids, before.offsets)
    assert set(after.type_ids) == set(SequenceFormat.of(made).type_ids(np.array([[3, 5]]))) == {0}
    assert len(SequenceFormat.of(made).type_ids(np.array([[3, 5]]))) == len(
        SequenceFormat.of(plain).type_ids(np.array([[3, 5]]))
    )
    assert (has_segments(plain), has_segments(made)) == (True, False)
    assert with_segments(made) is made and without_segments(made) is made
    assert role_names(made) == NAMES[kind]
