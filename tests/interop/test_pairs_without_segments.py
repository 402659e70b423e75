"""Pairs of a model whose tokenizer gives no segment ids have zeros, as in transformers."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoTokenizer, BertForSequenceClassification

import clozekit
from clozekit.corpus.tokenizers.segments import has_segments
from clozekit.errors import DataError
from clozekit.interop.saving import save_transformers
from clozekit.interop.transformers import load_transformers
from clozekit.output.display import PlainWarning
from tests.interop.folders import random_model
from tests.kinds_of_tokenizers import plain_tokenizer, write_tokenizer

PAIR = ("the old horse", "cows are fed")
TWO, THREE = ["input_ids", "attention_mask"], ["input_ids", "token_type_ids", "attention_mask"]


def folder_of(folder: Path, kind: str, types: int = 2, **settings: Any) -> Path:
    vocabulary = plain_tokenizer(kind).get_vocab()
    pad = next(vocabulary[name] for name in ("[PAD]", "<pad>") if name in vocabulary)
    sizes = {"vocab_size": len(vocabulary), "max_position_embeddings": 64}
    more = {"type_vocab_size": types, "num_labels": 3, "pad_token_id": pad}
    random_model(BertForSequenceClassification, **sizes, **more).save_pretrained(folder)
    return write_tokenizer(folder, kind, **settings)


def scores_in_transformers(folder: Path) -> list[float]:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = BertForSequenceClassification.from_pretrained(folder).eval()
    with torch.no_grad():
        logits = model(**tokenizer(*PAIR, return_tensors="pt")).logits[0]
    scores: list[float] = logits.softmax(-1).tolist()
    return scores


@pytest.mark.parametrize("kind", ["wordpiece", "xlmr"])
def test_the_scores_of_pairs_are_those_of_transformers(tmp_path: Path, kind: str) -> None:
    folder = folder_of(tmp_path / "in", kind, model_input_names=TWO)
    wanted = scores_in_transformers(folder)
    (predicted,) = clozekit.load(str(folder)).predict([PAIR])
    np.testing.assert_allclose([*predicted["scores"].values()], wanted, atol=1e-6)
    # The export says the same.
    (tmp_path / "out").mkdir()
    save_transformers(load_transformers(folder), tmp_path / "out")
    np.testing.assert_allclose(scores_in_transformers(tmp_path / "out"), wanted, atol=1e-6)
    settings = json.loads((tmp_path / "out" / "tokenizer_config.json").read_text())
    assert settings["model_input_names"] == TWO


@pytest.mark.parametrize(
    ("types", "names", "has"), [(2, None, True), (2, THREE, True), (2, TWO, False), (1, TWO, True)]
)
def test_only_a_list_without_them_counts(
    tmp_path: Path, types: int, names: list[str] | None, has: bool
) -> None:
    settings = {} if names is None else {"model_input_names": names}
    tokenizer = load_transformers(folder_of(tmp_path, "wordpiece", types, **settings)).tokenizer
    assert tokenizer is not None
    assert has_segments(tokenizer) == has


def test_a_list_that_is_none_is_refused(tmp_path: Path) -> None:
    folder_of(tmp_path, "wordpiece", model_input_names="input_ids")
    with pytest.raises(DataError, match="model_input_names='input_ids'; it should be a list of na"):
        load_transformers(tmp_path)


def test_another_side_of_truncation_is_told(tmp_path: Path) -> None:
    folder_of(tmp_path, "wordpiece", truncation_side="left")
    with pytest.warns(
        PlainWarning, match=r"_config\.json: truncation_side=left is not followed: a"
    ):
        load_transformers(tmp_path)
