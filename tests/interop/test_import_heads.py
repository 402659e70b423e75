"""Heads of transformers become ours, with what the folder says of them."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    BertForMultipleChoice,
    BertForPreTraining,
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertForTokenClassification,
)

from clozekit.errors import DataError
from clozekit.interop.head_names import make_model
from clozekit.interop.transformers import load_transformers
from tests.interop.families import (
    PUBLISHED,
    Published,
    check_outputs_and_gradients,
    our_model,
)
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


def old_classifier(folder: Path, id2label: dict[str, str], num_labels: int = 50) -> Path:
    """A folder as transformers 2 wrote it: `num_labels` beside names of another number."""
    labels = {i: f"LABEL_{i}" for i in range(num_labels)}
    saved(random_model(BertForSequenceClassification, id2label=labels), folder)
    file = folder / "config.json"
    config = json.loads(file.read_text()) | {"num_labels": num_labels, "id2label": id2label}
    file.write_text(json.dumps(config))
    return folder


def test_two_stock_names_stand_for_any_number_of_classes(tmp_path: Path) -> None:
    folder = old_classifier(tmp_path, {"0": "LABEL_0", "1": "LABEL_1"})
    assert load_transformers(folder).label_names == [f"LABEL_{i}" for i in range(50)]


@pytest.mark.parametrize("published", PUBLISHED, ids=lambda each: each.name)
@pytest.mark.parametrize("end", ["ForSequenceClassification", "ForTokenClassification"])
def test_every_family_has_classes_without_names(
    published: Published, end: str, tmp_path: Path
) -> None:
    model = published.folder(tmp_path / "a", end, "small", num_labels=3)
    file = tmp_path / "a" / "config.json"
    config = json.loads(file.read_text())
    for labels in (None, {"0": "LABEL_0", "1": "LABEL_1"}):
        kept = {key: value for key, value in config.items() if key not in ("id2label", "label2id")}
        kept |= {"num_labels": 3} if labels is None else {"id2label": labels}
        file.write_text(json.dumps(kept))
        pretrained = load_transformers(tmp_path / "a")
        assert pretrained.label_names == list(model.config.id2label.values())


@pytest.mark.parametrize("published", PUBLISHED, ids=lambda each: each.name)
def test_a_decoder_that_is_not_tied_is_nothing_to_a_classifier(
    published: Published, tmp_path: Path
) -> None:
    end = "ForSequenceClassification"
    model = published.folder(tmp_path / "a", end, "small", tie_word_embeddings=False)
    pretrained = load_transformers(tmp_path / "a")
    ours = our_model(pretrained, "classification_head")
    num_segments = published.num_segments.get("small", 1)
    check_outputs_and_gradients(model, ours, pretrained, num_segments)
    published.folder(tmp_path / "b", "ForMaskedLM", "small", tie_word_embeddings=False)
    with pytest.raises(DataError, match=r"only a tied decoder|tie_word_embeddings=False; only T"):
        load_transformers(tmp_path / "b")


def test_a_head_that_is_not_needed_is_left_and_named(tmp_path: Path) -> None:
    folder = old_classifier(tmp_path, {"0": "good", "1": "bad"})
    with pytest.raises(DataError, match=r"classifier.weight has shape \[50, 32\]"):
        load_transformers(folder)
    pretrained = load_transformers(folder, needs_task_head=False)
    assert pretrained.unused == ("classifier.bias", "classifier.weight")
    assert {name.partition(".")[0] for name in pretrained.weights} == {"encoder"}
    assert pretrained.label_names is None


@pytest.mark.parametrize("architecture", ["BertForPreTraining", "BertCRF", "MyBertWithTwoHeads"])
def test_unknown_heads_are_left_and_named(architecture: str, tmp_path: Path) -> None:
    folder = saved(random_model(BertForPreTraining, num_hidden_layers=3), tmp_path)
    weights = load_file(folder / "model.safetensors")
    save_file(
        weights | {"crf.transitions": torch.zeros(3, 3), "other_head.weight": torch.zeros(2, 32)},
        folder / "model.safetensors",
    )
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"architectures": [architecture]}))
    pretrained = load_transformers(folder)
    assert pretrained.unused == ("crf.transitions", "other_head.weight")
    heads = {name.partition(".")[0] for name in pretrained.weights}
    assert heads == {"encoder", "masked_lm_head", "next_sentence_head"}
