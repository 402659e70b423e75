"""Heads of transformers become ours, with what the folder says of them."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    BertForMultipleChoice,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertForTokenClassification,
)

from clozekit.interop.head_names import make_model
from clozekit.interop.transformers import load_transformers
from tests.interop.folders import padded, random_model, saved
from tests.models.batches import packed_batch
from tests.models.models import logits_of


def test_a_classifier_comes_with_its_labels(tmp_path: Path) -> None:
    labels = {0: "sea", 1: "farm", 2: "school"}
    bert = random_model(BertForSequenceClassification, id2label=labels)
    pretrained = load_transformers(saved(bert, tmp_path))
    assert pretrained.label_names == list(labels.values())
    model = make_model(["classification_head"], pretrained.encoder, 3).eval()
    model.load_state_dict(pretrained.weights)
    batch = packed_batch()
    expected = bert(**padded(batch)).logits
    ours = logits_of(model, batch.input_ids, batch.token_type_ids, batch.packing)
    torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("hidden_act", ["gelu", "gelu_new"])
def test_a_tagger_comes_with_its_labels(hidden_act: str, tmp_path: Path) -> None:
    labels = {0: "O", 1: "B-PER", 2: "I-PER"}
    bert = random_model(BertForTokenClassification, id2label=labels, hidden_act=hidden_act)
    pretrained = load_transformers(saved(bert, tmp_path))
    assert pretrained.label_names == list(labels.values()) and pretrained.problem_type is None
    model = make_model(["token_classification_head"], pretrained.encoder, 3).eval()
    model.load_state_dict(pretrained.weights)
    batch = packed_batch()
    positions = torch.tensor([0, 8, 3])
    ours = logits_of(model, batch.input_ids, batch.token_type_ids, batch.packing)[positions]
    expected = batch.packing.unpad(bert(**padded(batch)).logits)[positions]
    torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-5)


def test_a_model_that_finds_answers_comes_with_its_head(tmp_path: Path) -> None:
    bert = random_model(BertForQuestionAnswering)
    pretrained = load_transformers(saved(bert, tmp_path))
    assert pretrained.label_names is None
    model = make_model(["question_answering_head"], pretrained.encoder).eval()
    model.load_state_dict(pretrained.weights)
    batch = packed_batch()
    ours = logits_of(model, batch.input_ids, batch.token_type_ids, batch.packing)
    theirs = bert(**padded(batch))
    expected = torch.stack([theirs.start_logits, theirs.end_logits], dim=-1)
    torch.testing.assert_close(ours, batch.packing.unpad(expected), rtol=1e-5, atol=1e-5)


def test_a_model_that_chooses_comes_with_its_head(tmp_path: Path) -> None:
    bert = random_model(BertForMultipleChoice)
    pretrained = load_transformers(saved(bert, tmp_path))
    assert pretrained.label_names is None
    model = make_model(["multiple_choice_head"], pretrained.encoder).eval()
    model.load_state_dict(pretrained.weights)
    batch = packed_batch()
    ours = logits_of(model, batch.input_ids, batch.token_type_ids, batch.packing)
    theirs = bert(**{name: tensor[None] for name, tensor in padded(batch).items()})
    torch.testing.assert_close(ours.squeeze(-1), theirs.logits[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "problem_type", "label_names"),
    [
        ({"num_labels": 1}, "regression", None),
        ({"num_labels": 1, "problem_type": "regression"}, "regression", None),
        ({"num_labels": 2}, None, ["LABEL_0", "LABEL_1"]),
        (
            {"problem_type": "single_label_classification", "id2label": {0: "a", 1: "b"}},
            "single_label_classification",
            ["a", "b"],
        ),
        (
            {"problem_type": "multi_label_classification", "id2label": {0: "a"}},
            "multi_label_classification",
            ["a"],
        ),
    ],
)
def test_a_classifier_says_what_it_is_for(
    settings: dict[str, Any],
    problem_type: str | None,
    label_names: list[str] | None,
    tmp_path: Path,
) -> None:
    bert = random_model(BertForSequenceClassification, **settings)
    pretrained = load_transformers(saved(bert, tmp_path))
    assert (pretrained.problem_type, pretrained.label_names) == (problem_type, label_names)


def test_what_an_old_folder_kept_beside_its_head_is_left(tmp_path: Path) -> None:
    folder = saved(random_model(BertForTokenClassification), tmp_path)
    weights = load_transformers(folder).weights
    more = {"bert.pooler.dense.weight": torch.ones(32, 32), "cls.predictions.bias": torch.ones(60)}
    file = folder / "model.safetensors"
    save_file(load_file(file) | more, file)
    pretrained = load_transformers(folder)
    torch.testing.assert_close(pretrained.weights, weights, rtol=0, atol=0)
    assert pretrained.unused == tuple(more)


def test_a_head_that_no_architecture_names_is_left(tmp_path: Path) -> None:
    folder = saved(random_model(BertForQuestionAnswering), tmp_path)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"architectures": ["BertModel"]}))
    assert load_transformers(folder).unused == ("qa_outputs.bias", "qa_outputs.weight")
