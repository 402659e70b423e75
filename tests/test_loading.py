"""`clozekit.load` and the guide's example."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from transformers import (
    BertForMaskedLM,
    BertForMultipleChoice,
    BertForNextSentencePrediction,
    BertForPreTraining,
    BertForSequenceClassification,
    BertModel,
    BertTokenizer,
)

import clozekit
from clozekit.config.evaluate import EvaluateConfig
from clozekit.errors import ConfigError, DataError
from clozekit.evaluate import evaluate
from clozekit.inference.row_predictor import RowPredictor
from tests.interop.folders import random_model, write_vocabulary

GUIDE = (Path(__file__).parents[1] / "docs" / "python.md").read_text(encoding="utf-8")


def folder_of(model_class: Any, folder: Path, **changes: Any) -> tuple[Path, Any]:
    bert = random_model(model_class, **changes)
    bert.save_pretrained(folder)
    write_vocabulary(folder)
    return folder, bert


def inputs_of(folder: Path, *texts: str) -> dict[str, torch.Tensor]:
    return dict(BertTokenizer.from_pretrained(folder)(*texts, return_tensors="pt"))


def test_the_guides_example_runs(
    reference_run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "first").symlink_to(reference_run)
    monkeypatch.chdir(tmp_path)
    example = GUIDE.split("```python\n")[1].split("```")[0]
    torch.manual_seed(0)
    names: dict[str, Any] = {}
    exec(compile(example, "python.md", "exec"), names)
    first, last = capsys.readouterr().out.splitlines()
    assert first.startswith("pretraining [{'word': ")
    assert last.startswith("loss ")
    before = clozekit.load(reference_run).encoder.state_dict()
    after = names["encoder"].state_dict()
    assert all(torch.any(after[name] != before[name]) for name in ("pooler.weight", "pooler.bias"))
    assert names["loss"].item() < 0.69, "less than a coin's"


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return folder_of(BertForSequenceClassification, tmp_path_factory.mktemp("classifier"))[0]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("the word", r"rows is a str; it should be a list of texts, of pairs"),
        (b"the word", r"rows is a bytes; "),
        ({"text": "the word"}, r"rows is a dict; .* also for a single row"),
        (pd.DataFrame({"text": ["the word"]}), r"rows is a DataFrame; "),
        (["the word", None], r"rows\[1\]: None should be a text, a pair of texts, or a mapping"),
        ([float("nan")], r"rows\[0\]: nan should be a text"),
        ([("a", "b", "c")], r"rows\[0\]: .* should be a text"),
        ([("a", None)], r"rows\[0\]: .* should be a text"),
        ([[]], r"rows\[0\]: \[\] should be a text"),
        ([b"the word"], r"rows\[0\]: .* should be a text"),
    ],
)
def test_what_is_not_a_list_of_rows_is_refused(rows: Any, message: str, classifier: Path) -> None:
    with pytest.raises(ConfigError, match=message):
        clozekit.load(classifier).predict(rows)


def test_rows_may_be_of_any_kind_of_list(classifier: Path) -> None:
    model = clozekit.load(classifier)
    texts = ["the word", "a dog"]
    expected = model.predict(texts)
    assert len(expected) == 2
    for rows in (tuple(texts), pd.Series(texts), np.array(texts), (text for text in texts)):
        assert model.predict(rows) == expected
    assert model.predict([[text] for text in texts]) == expected
    assert model.predict([{"text": text} for text in texts]) == expected


@pytest.mark.parametrize("precision", ["bf16", "16", 16, "64", None, "foo", ["32-true"]])
def test_an_unknown_precision_is_refused(precision: Any, classifier: Path) -> None:
    with pytest.raises(ConfigError, match=r"precision=.*; it should be one of 32-true, bf16-mixed"):
        clozekit.load(classifier, precision=precision)


def test_one_trusted_module_is_a_list_of_one(classifier: Path) -> None:
    with pytest.raises(ConfigError, match=r"trusted_modules='my_task'; .* such as \['my_task'\]"):
        clozekit.load(classifier, trusted_modules="my_task")
    with pytest.raises(ConfigError, match="path is empty"):
        clozekit.load("")


def test_the_guides_training_with_a_trainer_of_ones_own_runs(
    corpus: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mine").symlink_to(corpus)
    monkeypatch.chdir(tmp_path)
    example = GUIDE.split("```python\n")[2].split("```")[0]
    for large, small in (("=100", "=4"), ("=50", "=2"), ("128", "32"), ("512", "64")):
        assert large in example
        example = example.replace(large, small)
    names: dict[str, Any] = {}
    exec(compile(example, "python.md", "exec"), names)
    assert names["trainer"].global_step == 4
    assert "held-out loss " in capsys.readouterr().out


def test_words_and_next_sentences_are_those_of_transformers(tmp_path: Path) -> None:
    folder, bert = folder_of(BertForPreTraining, tmp_path)
    model = clozekit.load(folder)
    assert model.task == "pretraining"
    texts = ("the cow [MASK]", "the sea")
    prediction, plain = model.predict([texts, ("the cow", "the sea")])
    inputs = inputs_of(folder, *texts)
    with torch.inference_mode():
        output = bert(**inputs)
    place = inputs["input_ids"][0].tolist().index(4)
    top = output.prediction_logits[0, place].softmax(-1).topk(5)
    (words,) = prediction["words"]
    assert [word["probability"] for word in words] == pytest.approx(top.values.tolist(), abs=1e-5)
    expected = output.seq_relationship_logits.softmax(-1)[0, 0]
    assert prediction["follows"] == pytest.approx(float(expected), abs=1e-5)
    assert plain["words"] == [], "nothing is masked"


def test_a_model_without_a_next_sentence_head_does_not_judge_pairs(tmp_path: Path) -> None:
    folder, _ = folder_of(BertForMaskedLM, tmp_path)
    (prediction,) = clozekit.load(folder).predict([("the [MASK]", "the sea")])
    assert len(prediction["words"]) == 1 and "follows" not in prediction


def test_classes_are_those_of_transformers(tmp_path: Path) -> None:
    labels = {0: "sea", 1: "farm", 2: "school"}
    folder, bert = folder_of(BertForSequenceClassification, tmp_path, id2label=labels)
    model = clozekit.load(str(folder))
    assert model.task == "classification"
    (prediction,) = model.predict(["the cow sails"])
    with torch.inference_mode():
        probabilities = bert(**inputs_of(folder, "the cow sails")).logits.softmax(-1)[0].tolist()
    expected = dict(zip(labels.values(), probabilities, strict=True))
    assert prediction["label"] == max(expected, key=expected.__getitem__)
    assert prediction["scores"] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("has_pooler", [True, False])
def test_an_encoder_alone_encodes_and_says_that_it_cannot_predict(
    has_pooler: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, bert = folder_of(BertModel, tmp_path)
    if not has_pooler:
        BertModel.from_pretrained(folder, add_pooling_layer=False).save_pretrained(folder)
    model = clozekit.load(folder)
    assert model.task == "encoder" and isinstance(model.encoder, clozekit.Encoder)
    inputs = inputs_of(folder, "the cow")
    output = model.encoder(inputs["input_ids"])
    expected = bert(**inputs)
    torch.testing.assert_close(output.sequence_output, expected.last_hidden_state)
    assert (output.pooled_output is not None) == has_pooler
    with pytest.raises(ConfigError, match="without a head to predict with"):
        model.predict(["the cow"])
    with pytest.raises(ConfigError, match=r"data_options=.*'id_column'.* has no effect on"):
        clozekit.load(folder, data_options={"id_column": "id"})
    monkeypatch.setattr("clozekit.loading.device_of", lambda _: torch.device("meta"))
    elsewhere = clozekit.load(folder)
    assert all(weights.is_meta for weights in elsewhere.encoder.parameters())


def test_the_number_of_choices_is_that_of_each_call(tmp_path: Path) -> None:
    folder, _ = folder_of(BertForMultipleChoice, tmp_path)
    model = clozekit.load(folder, data_options={"question_column": None})
    rows = [{"context": "the cow", "choices": ["the cow"] * n} for n in (4, 2)]
    for row, number in zip(rows, (4, 2), strict=True):
        (prediction,) = model.predict([row])
        assert len(prediction["scores"]) == number
    with pytest.raises(ConfigError, match=r"rows\[1\]: the number of choices is 2, but the first"):
        model.predict(rows)


def test_a_model_of_next_sentences_alone_scores_pairs(tmp_path: Path) -> None:
    folder, bert = folder_of(BertForNextSentencePrediction, tmp_path)
    model = clozekit.load(folder)
    assert model.task == "next_sentence"
    pairs = [("the cow", "the sea"), ("the sea the sea", "cow")]
    for pair, prediction in zip(pairs, model.predict(pairs), strict=True):
        with torch.no_grad():
            expected = bert(**inputs_of(folder, *pair)).logits.softmax(-1)[0, 0]
        assert prediction == {"follows": pytest.approx(float(expected), abs=1e-6)}
    with pytest.raises(ConfigError, match=r"a pretrained model needs a text_pair$"):
        model.predict(["the [MASK]"])
    values = {"checkpoint": str(folder), "input": str(tmp_path / "rows.csv"), "device": "cpu"}
    with pytest.raises(ConfigError, match="predicts only whether a text follows another"):
        evaluate(EvaluateConfig.model_validate({**values, "out": tmp_path / "out"}))


@pytest.mark.parametrize(
    ("architectures", "named"),
    [(None, "null"), (["TFBertForSequenceClassification"], "TFBertForSequenceClassification")],
)
def test_weights_of_a_head_that_no_class_names_are_told(
    architectures: list[str] | None, named: str, tmp_path: Path
) -> None:
    folder, _ = folder_of(BertForSequenceClassification, tmp_path)
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "architectures": architectures}))
    model = clozekit.load(folder)
    with pytest.raises(ConfigError) as caught:
        model.predict(["the cow"])
    assert str(caught.value) == (
        f"{folder}: only an encoder, without a head to predict with: architectures={named} in its "
        "config.json is no class with a head that is read, so classifier.bias, classifier.weight "
        "are not used"
    )


def test_what_cannot_be_loaded_or_read_is_told(tmp_path: Path) -> None:
    folder, _ = folder_of(BertForMaskedLM, tmp_path)
    with pytest.raises(ConfigError, match=r"rows\[0\]: text has 22 tokens.* more than .*=16"):
        clozekit.load(folder).predict(["[MASK] " * 20])
    (folder / "vocab.txt").unlink()
    with pytest.raises(DataError, match="no tokenizer found"):
        clozekit.load(folder)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        clozekit.nothing  # noqa: B018


def test_the_package_itself_is_light() -> None:
    code = "import clozekit, sys; print('torch' in sys.modules, clozekit.Encoder.__name__)"
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert finished.stdout == "False Encoder\n", finished.stderr


def test_a_published_model_reads_pairs_alike_for_evaluation_and_prediction(tmp_path: Path) -> None:
    folder, _ = folder_of(BertForSequenceClassification, tmp_path)
    row = {"text": "a b", "text_pair": "c", "label": "LABEL_0"}
    for options, pair in (({}, "c"), ({"text_pair_column": None}, None)):
        predictor = clozekit.load(folder, data_options=options).predictor
        assert isinstance(predictor, RowPredictor)
        labelled = predictor.features.example(row, 0, is_labelled=True)
        assert labelled is not None and labelled.text_pair == pair
        assert predictor.read(row, 0).text_pair == pair
        assert predictor.read({**row, "text_pair": None}, 0).text_pair is None
