"""Folders of sentence-transformers with other files and modules than clozekit writes."""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pytest
from huggingface_hub.utils import filter_repo_objects
from transformers import BertModel

import clozekit
from clozekit.errors import ConfigError
from clozekit.interop.transformers import load_transformers
from tests.harness.sentence_vectors import sentence_transformer
from tests.interop.folders import random_model, write_vocabulary

TEXTS = ["the cow", "the sails the sea the cow " * 10, "the cow the sea"]
CLS = {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}
PLAIN = {"Transformer": "", "Pooling": "1_Pooling", "Normalize": "2_Normalize"}
TOLERANCE = 1e-5


def folder_of(
    root: Path,
    modules: Mapping[str, str] = PLAIN,
    pooling: Mapping[str, Any] = CLS,
    settings: Mapping[str, Any] | None = None,
    settings_file: str = "sentence_bert_config.json",
    longest: int = 32,
) -> Path:
    """Writes a random encoder with the files of its modules.

    Args:
        root: A new folder.
        modules: The path of each kind of module.
        pooling: The settings of the pooling.
        settings: Those of the encoder's module.
        settings_file: Their file.
        longest: The number of positions, and the `model_max_length` of the tokenizer.
    """
    encoder = root / modules["Transformer"]
    encoder.mkdir(parents=True)
    random_model(BertModel, max_position_embeddings=longest).save_pretrained(encoder)
    write_vocabulary(encoder)
    tokenizer = {"tokenizer_class": "BertTokenizer", "model_max_length": longest}
    (encoder / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    listed = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (kind, path) in enumerate(modules.items())
    ]
    (root / "modules.json").write_text(json.dumps(listed))
    if "Pooling" in modules:
        of_pooling = root / modules["Pooling"]
        of_pooling.mkdir(exist_ok=True)
        written = {"word_embedding_dimension": 32, **pooling}
        (of_pooling / "config.json").write_text(json.dumps(written))
    if settings is not None:
        (encoder / settings_file).write_text(json.dumps(settings))
    return root


def ours(folder: Path) -> Any:
    return np.array([each["vector"] for each in clozekit.load(folder).predict(TEXTS)], np.float32)


def theirs(folder: Path) -> Any:
    return sentence_transformer(folder).encode(TEXTS, normalize_embeddings=True)


def check(folder: Path) -> None:
    expected = theirs(folder)
    assert np.ptp(expected, axis=0).max() > 0.05, "the texts have different vectors"
    assert np.abs(ours(folder) - expected).max() < TOLERANCE


@pytest.mark.parametrize("place", ["0_BERT", "0_Transformer", "encoder"])
def test_the_length_is_that_of_the_encoder_s_folder(place: str, tmp_path: Path) -> None:
    modules = {**PLAIN, "Transformer": place}
    root = folder_of(tmp_path / "a", modules, settings={"max_seq_length": 10})
    # Old versions wrote their version to it.
    (root / "config.json").write_text('{"__version__": "0.2.0"}')
    check(root)
    root = folder_of(tmp_path / "b", modules)
    file = root / place / "tokenizer_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "model_max_length": 12}))
    check(root)


def test_lowercasing_in_the_encoder_s_folder_is_read(tmp_path: Path) -> None:
    modules = {**PLAIN, "Transformer": "0_BERT"}
    root = folder_of(tmp_path / "a", modules, settings={"do_lower_case": True})
    embedding = load_transformers(root).embedding
    assert embedding is not None and embedding.lowercases


@pytest.mark.parametrize(
    "kind", ["roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet"]
)
def test_older_names_of_the_settings_are_read(kind: str, tmp_path: Path) -> None:
    file = f"sentence_{kind}_config.json"
    root = folder_of(tmp_path / "a", settings={"max_seq_length": 10}, settings_file=file)
    embedding = load_transformers(root).embedding
    assert embedding is not None and embedding.max_seq_length == 10
    if kind == "xlm-roberta":
        check(root)


def test_a_folder_without_a_length_has_that_of_the_encoder(tmp_path: Path) -> None:
    root = folder_of(tmp_path / "a", longest=600)
    (root / "tokenizer_config.json").write_text('{"tokenizer_class": "BertTokenizer"}')
    (prediction,) = clozekit.load(root).predict(["the cow " * 500])
    (expected,) = sentence_transformer(root).encode(["the cow " * 500], normalize_embeddings=True)
    assert np.abs(np.array(prediction["vector"]) - expected).max() < TOLERANCE


def test_the_pooling_is_that_of_the_module_s_folder(tmp_path: Path) -> None:
    root = folder_of(tmp_path / "a", {"Transformer": "", "Pooling": "pool"})
    check(root)
    # What another model left there does not count.
    (root / "1_Pooling").mkdir()
    mean = {"word_embedding_dimension": 32, "pooling_mode_mean_tokens": True}
    (root / "1_Pooling" / "config.json").write_text(json.dumps(mean))
    check(root)


def test_dropout_has_no_effect(tmp_path: Path) -> None:
    root = folder_of(tmp_path / "a", {**PLAIN, "Dropout": "3_Dropout"})
    (root / "3_Dropout").mkdir()
    (root / "3_Dropout" / "config.json").write_text('{"dropout": 0.5}')
    check(root)


@pytest.mark.parametrize(
    ("modules", "pooling", "reason"),
    [
        ({**PLAIN, "Dense": "3_Dense"}, CLS, r"its modules\.json has Dense; only Transformer and"),
        (
            {"Transformer": "", "Normalize": "1_Normalize"},
            CLS,
            "its .* has Transformer, Normalize; only",
        ),
        (PLAIN, {"pooling_mode_max_tokens": True}, "its pooling is max_tokens; only cls and mean"),
        (PLAIN, {**CLS, "pooling_mode_lasttoken": True}, "its pooling is cls, lasttoken; only"),
    ],
)
def test_other_vectors_are_refused_by_name(
    modules: Mapping[str, str], pooling: Mapping[str, Any], reason: str, tmp_path: Path
) -> None:
    root = folder_of(tmp_path / "a", modules, pooling)
    model = clozekit.load(root)
    assert model.task == "encoder"
    with pytest.raises(ConfigError, match=f"without a head to predict with: {reason}"):
        model.predict(["the cow"])


def test_a_length_that_no_task_has_is_refused(tmp_path: Path) -> None:
    root = folder_of(tmp_path / "a", settings={"max_seq_length": 6})
    with pytest.raises(ConfigError, match=r"max_seq_length=6 for its vectors; 8 or more is supp"):
        clozekit.load(root)


@pytest.mark.parametrize("encoder", ["", "0_BERT", "encoder"])
def test_all_files_of_the_modules_are_downloaded(
    encoder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    modules = {"Transformer": encoder, "Pooling": "pool"}
    file = "sentence_xlm-roberta_config.json"
    hub = folder_of(tmp_path / "hub", modules, settings={"max_seq_length": 10}, settings_file=file)
    (hub / "other").mkdir()
    (hub / "other" / "model.safetensors").touch()
    cache = tmp_path / "cache"

    def snapshot_download(name: str, allow_patterns: Sequence[str]) -> str:
        assert name == "user/name"
        names = [str(file.relative_to(hub)) for file in hub.rglob("*") if file.is_file()]
        for wanted in filter_repo_objects(names, allow_patterns=list(allow_patterns)):
            (cache / wanted).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(hub / wanted, cache / wanted)
        return str(cache)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    monkeypatch.chdir(tmp_path)
    found = clozekit.load("user/name").predict(TEXTS)
    vectors = np.array([each["vector"] for each in found], np.float32)
    assert np.abs(vectors - theirs(hub)).max() < TOLERANCE
    assert not (cache / "other").exists()
