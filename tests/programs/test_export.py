"""`clozekit export`: a run's checkpoint as a folder of transformers or plain safetensors."""

import json
import sys
from pathlib import Path

import pytest
import torch
from huggingface_hub import ModelCard
from safetensors.torch import load_file
from transformers import AutoTokenizer, BertForPreTraining, BertForSequenceClassification

from clozekit.command import run_verb
from clozekit.config.export import ExportConfig
from clozekit.data.packing import Packing
from clozekit.errors import DataError
from clozekit.export import export
from clozekit.interop.head_names import make_model
from clozekit.runs.checkpoint_file import load_checkpoint
from clozekit.runs.load_pretrained import load_pretrained
from clozekit.train import train
from tests.models.models import logits_of, pretraining_model
from tests.programs.commands import QUIET, run_clozekit, train_config
from tests.programs.texts import TOPICS, write_labelled

TEXTS = ("the old horse feeds the cow .", "the sailor"), ("the cook", "stirs the small soup")


@pytest.fixture(scope="module")
def classifier(reference_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a short run that fine-tuned the reference run."""
    folder = tmp_path_factory.mktemp("topics")
    rows = write_labelled(folder / "rows.csv", 80)
    train(
        train_config(
            "name=topics",
            f"runs_dir={folder}",
            "task=classification",
            "data=classification",
            f"data.train={rows}",
            f"data.test={rows}",
            "data.max_seq_length=48",
            "task.classifier_dropout=0.25",
            f"encoder.pretrained={reference_run}",
            "max_steps=6",
            "validate_every_n_steps=3",
            "global_batch_size=16",
            "micro_batch_size=16",
            # The loss rises, so that the best checkpoint is not the last one.
            "+optimizer.maximize=true",
            "callbacks.checkpoints.monitor=validation/loss",
            "callbacks.checkpoints.mode=min",
            *QUIET,
        )
    )
    return folder / "topics"


def exported(checkpoint: Path, out: Path, **changes: str) -> Path:
    export(ExportConfig.model_validate({"checkpoint": str(checkpoint), "out": out, **changes}))
    return out


def inputs_of(folder: Path) -> dict[str, torch.Tensor]:
    first, second = zip(*TEXTS, strict=True)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    inputs = tokenizer(list(first), list(second), padding=True, return_tensors="pt")
    assert inputs["token_type_ids"].sum() > 0
    assert inputs["attention_mask"].min() == 0, "one of the two is padded"
    return dict(inputs)


def check_round_trip(run: Path, folder: Path) -> None:
    before, after = load_pretrained(str(run)), load_pretrained(str(folder))
    torch.testing.assert_close(after.weights, before.weights, rtol=0, atol=0)
    assert before.tokenizer is not None and after.tokenizer is not None
    assert after.tokenizer.to_str() == before.tokenizer.to_str()
    assert after.label_names == before.label_names
    assert after.encoder == before.encoder.model_copy(update={"pretrained": None})


def test_a_pretraining_run_loads_in_transformers_with_equal_outputs(
    reference_run: Path, tmp_path: Path
) -> None:
    finished = run_clozekit(
        "export", f"checkpoint={reference_run}", "out=models/bert", cwd=tmp_path
    )
    assert finished.returncode == 0 and finished.stderr == ""
    assert finished.stdout.endswith(" to models/bert\n")
    folder = tmp_path / "models" / "bert"
    check_round_trip(reference_run, folder)
    assert [path.name for path in folder.parent.iterdir()] == ["bert"], "nothing is left beside it"

    inputs = inputs_of(folder)
    bert = BertForPreTraining.from_pretrained(folder).eval()
    model = pretraining_model(load_pretrained(str(folder)).encoder).eval()
    load_pretrained(str(reference_run)).load_into(model)
    packing = Packing.from_attention_mask(inputs["attention_mask"])
    with torch.inference_mode():
        theirs = bert(**inputs)
        sequence_output, pooled_output = model(
            packing.unpad(inputs["input_ids"]), packing.unpad(inputs["token_type_ids"]), packing
        )
        prediction_logits = model.masked_lm_head(sequence_output)
        seq_relationship_logits = model.next_sentence_head(pooled_output)
    expected = packing.unpad(theirs.prediction_logits)
    torch.testing.assert_close(prediction_logits, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(
        seq_relationship_logits, theirs.seq_relationship_logits, rtol=1e-5, atol=1e-5
    )


def test_a_classifier_loads_in_transformers_with_labels_and_equal_outputs(
    classifier: Path, tmp_path: Path
) -> None:
    folder = exported(classifier, tmp_path / "topics")
    check_round_trip(classifier, folder)
    inputs = inputs_of(folder)
    bert = BertForSequenceClassification.from_pretrained(folder).eval()
    assert bert.config.id2label == dict(enumerate(sorted(TOPICS)))
    assert bert.config.label2id == {name: i for i, name in enumerate(sorted(TOPICS))}
    assert bert.config.classifier_dropout == 0.25
    checkpoint = load_checkpoint(classifier)
    model = make_model(
        ["classification_head"], load_pretrained(str(folder)).encoder, len(TOPICS)
    ).eval()
    model.load_state_dict(checkpoint.weights("model."))
    packing = Packing.from_attention_mask(inputs["attention_mask"])
    with torch.inference_mode():
        ours = logits_of(
            model,
            packing.unpad(inputs["input_ids"]),
            packing.unpad(inputs["token_type_ids"]),
            packing,
        )
        torch.testing.assert_close(ours, bert(**inputs).logits, rtol=1e-5, atol=1e-5)


def test_the_card_has_the_metrics_of_the_weights_that_were_exported(
    classifier: Path, tmp_path: Path
) -> None:
    card = ModelCard.load(exported(classifier, tmp_path / "best") / "README.md")
    assert card.data.pipeline_tag == "text-classification"
    results = json.loads((classifier / "results.json").read_text())
    assert {"validation/accuracy", "test/accuracy"} <= results.keys()
    for name, value in results.items():
        assert name == "step" or f"| {name} | {value:.4f} |" in card.text
    last = classifier / "checkpoints" / "last.ckpt"
    assert (load_checkpoint(classifier).step, load_checkpoint(last).step) == (3, 6)
    card = ModelCard.load(exported(last, tmp_path / "last") / "README.md")
    assert "| validation/accuracy |" in card.text
    assert "| test/" not in card.text, "the test was of the best checkpoint"


def test_safetensors_hold_the_weights_by_our_names(reference_run: Path, tmp_path: Path) -> None:
    folder = exported(reference_run, tmp_path / "plain", format="safetensors")
    expected = load_checkpoint(reference_run).weights("model.")
    weights = load_file(folder / "model.safetensors")
    torch.testing.assert_close(weights, expected, rtol=0, atol=0)
    assert sorted(path.name for path in folder.iterdir()) == [
        "README.md",
        "encoder.json",
        "model.safetensors",
        "tokenizer.json",
    ]


@pytest.mark.slow
def test_onnx_is_written_with_its_tokenizer_and_labels(classifier: Path, tmp_path: Path) -> None:
    arguments = (f"checkpoint={classifier}", "out=topics", "format=onnx")
    finished = run_clozekit("export", *arguments, cwd=tmp_path)
    assert finished.returncode == 0 and finished.stderr == ""
    assert finished.stdout.count("\n") == 1
    folder = tmp_path / "topics"
    files = ["README.md", "encoder.json", "labels.json", "model.onnx", "tokenizer.json"]
    assert sorted(path.name for path in folder.iterdir()) == files
    assert json.loads((folder / "labels.json").read_text()) == sorted(TOPICS)


def test_a_folder_that_is_not_empty_is_refused_and_left_as_it_is(
    reference_run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "mine").write_text("precious")
    arguments = [f"checkpoint={reference_run}", f"out={tmp_path}"]
    monkeypatch.setattr(sys, "argv", ["clozekit", "export", *arguments])
    assert run_verb("export") == 2
    error = capsys.readouterr().err
    assert error == f"clozekit export: out={tmp_path} is not empty; use another folder\n"
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_a_checkpoint_that_is_not_there_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"is neither a \.ckpt file nor"):
        exported(tmp_path / "nowhere", tmp_path / "out")
    assert not list(tmp_path.iterdir())
