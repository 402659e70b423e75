"""Folders of transformers, as they are published, are evaluated and predict."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    BertForQuestionAnswering,
    BertForSequenceClassification,
    BertForTokenClassification,
    BertModel,
)

from clozekit.config.evaluate import EvaluateConfig
from clozekit.config.registry import TASKS_OF_HEADS
from clozekit.errors import ConfigError, DataError
from clozekit.evaluate import evaluate
from clozekit.inference.load_predictor import make_predictor
from clozekit.loading import load
from clozekit.runs.load_pretrained import load_pretrained
from tests.data.spelling import spelling_tokenizer
from tests.interop.folders import random_model


def published(model_class: Any, folder: Path, **changes: Any) -> Path:
    """A folder with a tokenizer of our test texts."""
    tokenizer = spelling_tokenizer()
    sizes = {"vocab_size": tokenizer.get_vocab_size(), "max_position_embeddings": 64}
    random_model(model_class, **sizes, **changes).save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def evaluated(folder: Path, rows: Path, **config: Any) -> dict[str, Any]:
    out = rows.parent / "out"
    given = {"checkpoint": str(folder), "input": str(rows), "out": out, "device": "cpu"}
    evaluate(EvaluateConfig.model_validate(given | config))
    found: dict[str, Any] = json.loads((out / "metrics.json").read_text())
    return found


def rows_of(path: Path, *rows: dict[str, Any]) -> Path:
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


def question(asked: str, **answers: Any) -> dict[str, Any]:
    context = "the old horse feeds the old cow"
    found = {"text": [], "answer_start": []} | answers
    return {"question": asked, "context": context, "answers": found}


ANSWERED = question("horse", text=["old horse"], answer_start=[4])
UNANSWERABLE = question("café")


@pytest.fixture(scope="module")
def answering(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return published(BertForQuestionAnswering, tmp_path_factory.mktemp("answering"))


def test_rows_without_an_answer_let_a_published_model_abstain(
    answering: Path, tmp_path: Path
) -> None:
    rows = rows_of(tmp_path / "rows.jsonl", ANSWERED, ANSWERED, UNANSWERABLE)
    options = {"no_answer_threshold": -1000}
    found = evaluated(answering, rows, task_options=options)["metrics"]
    assert found["no_answer_accuracy"] == 100 and found["has_answer_f1"] == 0
    scores = json.loads((tmp_path / "out" / "squad_no_answer_scores.json").read_text())
    assert len(scores) == 3


def test_the_rows_decide_whether_there_are_scores_of_no_answer(
    answering: Path, tmp_path: Path
) -> None:
    for name, rows in (("a", [ANSWERED]), ("b", [ANSWERED, UNANSWERABLE])):
        (tmp_path / name).mkdir()
        evaluated(answering, rows_of(tmp_path / name / "rows.jsonl", *rows))
        assert (tmp_path / name / "out" / "squad_no_answer_scores.json").exists() == (name == "b")
    (tmp_path / "c").mkdir()
    rows = rows_of(tmp_path / "c" / "rows.jsonl", ANSWERED, UNANSWERABLE)
    found = evaluated(answering, rows, task_options={"has_unanswerable": False})["metrics"]
    assert found["no_answer_accuracy"] == 0


def test_a_published_model_abstains_in_predictions_by_choice(answering: Path) -> None:
    text = ("horse", "the old horse")
    for options, has_scores in (
        ({}, False),
        ({"has_unanswerable": True}, True),
        ({"no_answer_threshold": 1e9}, True),
        ({"has_unanswerable": False, "no_answer_threshold": -1e9}, False),
    ):
        (prediction,) = load(answering, task_options=options).predict([text])
        assert ("no_answer_score" in prediction) == has_scores
        assert prediction["answer"]
    (prediction,) = load(answering, task_options={"no_answer_threshold": -1e9}).predict([text])
    assert prediction["answer"] == ""
    with pytest.raises(ConfigError, match="has_unanswerable"):
        load(answering, task_options={"has_unanswerable": "yes"})


def test_a_threshold_without_effect_is_refused(answering: Path) -> None:
    group = {"_target_": TASKS_OF_HEADS["question_answering_head"]}
    for has_unanswerable in (True, False):
        known = {"has_unanswerable": has_unanswerable}
        trained = replace(load_pretrained(str(answering)), task=group, task_arguments=known)
        options = {"no_answer_threshold": 1.5}
        if has_unanswerable:
            make_predictor(trained, task_options=options)
            continue
        with pytest.raises(ConfigError, match=r"no_answer_threshold=1\.5 has no effect on .* all"):
            make_predictor(trained, task_options=options)


def tagger(folder: Path, labels: str, always: str) -> Path:
    """A tagger that gives every word the same tag."""
    names = labels.split()
    tokenizer = spelling_tokenizer()
    model = random_model(
        BertForTokenClassification,
        id2label=dict(enumerate(names)),
        vocab_size=tokenizer.get_vocab_size(),
        max_position_embeddings=64,
    )
    with torch.no_grad():
        model.classifier.weight.zero_()
        model.classifier.bias.zero_()[names.index(always)] = 9
    model.save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def conll(path: Path, *sentences: str) -> Path:
    """A file of sentences, each of these tags."""
    path.write_text("\n".join("".join(f"cow {t}\n" for t in s.split()) for s in sentences))
    return path


@pytest.mark.parametrize("labels", ["B-LOC B-ORG I-LOC I-ORG I-PER O", "O I-PER"])
@pytest.mark.parametrize(
    "sentences", [("I-PER I-PER", "I-PER"), ("B-PER I-PER", "B-PER")], ids=["iob1", "iob2"]
)
def test_a_tagger_without_a_b_is_one_of_iob1(
    labels: str, sentences: tuple[str, ...], tmp_path: Path
) -> None:
    folder = tagger(tmp_path / "model", labels, "I-PER")
    found = evaluated(folder, conll(tmp_path / "rows.conll", *sentences))
    assert "unknown_labels" not in found
    assert found["metrics"]["f1"] == found["metrics"]["accuracy"] == 1
    assert found["per_entity_type"]["PER"]["support"] == 2
    (prediction,) = load(folder).predict(["old cow"])
    assert prediction["tags"] == ["I-PER", "I-PER"]
    entity = {"type": "PER", "text": "old cow", "start": 0, "end": 2}
    assert prediction["entities"] == [entity]


@pytest.mark.parametrize(
    ("labels", "always", "options"),
    [
        ("O B-PER I-PER E-PER S-PER", "S-PER", {}),
        ("O B-PER I-PER L-PER U-PER", "U-PER", {}),
        ("O B-PER I-PER E-PER S-PER", "S-PER", {"tag_scheme": "iob1"}),
    ],
)
def test_a_file_is_converted_to_the_scheme_of_the_tagger(
    labels: str, always: str, options: dict[str, str], tmp_path: Path
) -> None:
    folder = tagger(tmp_path / "model", labels, always)
    sentences = ("I-PER", "I-PER B-PER") if options else ("B-PER", "B-PER B-PER", "B-PER I-PER O")
    rows = conll(tmp_path / "rows.conll", *sentences)
    found = evaluated(folder, rows, data_options=options)
    assert "unknown_labels" not in found
    support = found["per_entity_type"]["PER"]["support"]
    assert (found["metrics"]["recall"], support) == ((1, 3) if options else (0.75, 4))


def test_tags_stand_for_no_entities_by_choice(tmp_path: Path) -> None:
    folder = tagger(tmp_path / "model", "O I-PER B-PER", "B-PER")
    rows = conll(tmp_path / "rows.conll", "I-PER", "B-PER")
    found = evaluated(folder, rows, data_options={"tag_scheme": "none"})
    assert found["metrics"]["accuracy"] == 0.5 and "f1" not in found["metrics"]
    plain = tagger(tmp_path / "plain", "NOUN VERB", "VERB")
    with pytest.raises(ConfigError, match=r"tag_scheme=iob2 but the labels of .* no entities"):
        load(plain, data_options={"tag_scheme": "iob2"})


def test_a_length_beyond_the_positions_is_refused(tmp_path: Path) -> None:
    folder = published(BertForSequenceClassification, tmp_path)
    with pytest.raises(ConfigError, match=r"max_seq_length=2000 is more than .*embeddings=64"):
        load(folder, data_options={"max_seq_length": 2000})
    load(folder, data_options={"max_seq_length": 64})


def test_vectors_have_the_metrics_that_the_rows_allow(tmp_path: Path) -> None:
    folder = published(BertModel, tmp_path / "model")
    kinds = {"": "Transformer", "1_Pooling": "Pooling"}
    modules = [{"path": p, "type": f"sentence_transformers.models.{k}"} for p, k in kinds.items()]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text('{"pooling_mode_mean_tokens": true}')
    pairs: list[dict[str, Any]] = [
        {"anchor": "old horse", "positive": "horse", "score": 3},
        {"anchor": "the field", "positive": "café", "score": 1},
    ]
    scored = evaluated(folder, rows_of(tmp_path / "rows.jsonl", *pairs))["metrics"]
    assert scored.keys() == {"spearman"}
    (tmp_path / "b").mkdir()
    for pair in pairs:
        del pair["score"]
    rows = rows_of(tmp_path / "b" / "rows.jsonl", *pairs)
    unscored = evaluated(folder, rows)["metrics"]
    assert "mrr" in unscored and "spearman" not in unscored
    alone = rows_of(tmp_path / "alone.jsonl", {"anchor": "old horse"})
    with pytest.raises(DataError, match=r"alone\.jsonl: no row has a second text"):
        evaluated(folder, alone, data_options={"unsupervised": True}, out=tmp_path / "c")
