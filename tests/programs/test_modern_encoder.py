"""Every task and verb with the parts of ModernBERT."""

import json
import math
from pathlib import Path

import onnxruntime
import pytest

import clozekit
from clozekit.config.evaluate import EvaluateConfig
from clozekit.config.export import ExportConfig
from clozekit.config.predict import PredictConfig
from clozekit.errors import ConfigError
from clozekit.evaluate import evaluate
from clozekit.export import export
from clozekit.predict import predict
from clozekit.runs.checkpoint_file import load_checkpoint
from clozekit.train import train
from tests.programs.commands import QUIET, train_config
from tests.programs.exported_models import check_masked_words
from tests.programs.task_files import FILES, OVERRIDES, group_of, write_task, write_unlabelled

MODERN = (
    *("encoder=modern_tiny", "encoder.hidden_size=32", "encoder.intermediate_size=48"),
    *("encoder.local_attention=8", "encoder.initializer_range=0.1", "data.max_seq_length=48"),
    *("global_batch_size=8", "micro_batch_size=4", "optimizer.lr=3e-3", *QUIET),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("modern")


def pretraining(folder: Path, corpus: Path, name: str, *more: str) -> Path:
    options = (f"name={name}", f"runs_dir={folder}", f"data.path={corpus}", *MODERN, *more)
    train(train_config(*options, "validate_every_n_steps=3"))
    return folder / name


@pytest.fixture(scope="module")
def pretrained(folder: Path, corpus: Path) -> Path:
    return pretraining(folder, corpus, "whole", "max_steps=6", "encoder.hidden_dropout_prob=0.1")


def test_both_losses_of_pretraining_are_there(pretrained: Path) -> None:
    results = json.loads((pretrained / "results.json").read_text())
    assert math.isfinite(results["validation/mlm_loss"] + results["validation/nsp_loss"])


@pytest.mark.parametrize("task", FILES)
def test_a_task_is_trained_evaluated_and_predicted_with(
    task: str, folder: Path, corpus: Path, pretrained: Path
) -> None:
    rows, validation = (write_task(folder, task, n, seed) for n, seed in ((24, 1), (10, 2)))
    kind = group_of(task)
    config = train_config(
        *(f"name={task}", f"runs_dir={folder}", f"task={kind}", f"data={kind}", *MODERN),
        *(*OVERRIDES.get(task, ()), f"data.train={rows}", f"data.validation={validation}"),
        *(f"encoder.pretrained={pretrained}", "max_steps=3"),
    )
    train(config)
    weights = load_checkpoint(folder / task).weights("model.encoder.")
    assert not any("position_embeddings" in name or "token_type" in name for name in weights)
    out = folder / f"{task}-evaluated"
    evaluate(EvaluateConfig(checkpoint=str(folder / task), input=str(validation), out=out))
    metrics = json.loads((out / "metrics.json").read_text())
    trained = json.loads((folder / task / "results.json").read_text())
    for name, value in metrics.items():
        if name.startswith("test/") and isinstance(value, float):
            of_training = trained.get(name.replace("test/", "validation/"), value)
            assert value == pytest.approx(of_training, abs=1e-5), name
    unlabelled = write_unlabelled(folder / f"{task}.jsonl", task, validation)
    output = folder / f"{task}-predicted.jsonl"
    predict(PredictConfig(checkpoint=str(folder / task), input=str(unlabelled), output=output))
    assert len(output.read_text().splitlines()) == len(unlabelled.read_text().splitlines())


def test_masked_words_are_predicted(pretrained: Path) -> None:
    (prediction,) = clozekit.load(pretrained).predict(["the [MASK] ."])
    assert prediction


def test_onnx_computes_the_same(folder: Path, pretrained: Path) -> None:
    export(ExportConfig(checkpoint=str(pretrained), out=folder / "onnx", format="onnx"))
    session = onnxruntime.InferenceSession(str(folder / "onnx" / "model.onnx"))
    assert {output.name for output in session.get_outputs()} >= {"prediction_logits"}


def test_transformers_loads_what_is_exported(folder: Path, pretrained: Path) -> None:
    export(ExportConfig(checkpoint=str(pretrained), out=folder / "exported"))
    check_masked_words(folder / "exported", pretrained, "ModernBertForMaskedLM")


def test_parts_that_no_family_has_are_not_exported(folder: Path, corpus: Path) -> None:
    mixed = pretraining(folder, corpus, "mixed", "max_steps=1", "encoder.gated_feed_forward=false")
    with pytest.raises(ConfigError, match=r"norm_position=pre, .*use format=safetensors"):
        export(ExportConfig(checkpoint=str(mixed), out=folder / "bert"))
    export(ExportConfig(checkpoint=str(mixed), out=folder / "own", format="safetensors"))
    encoder = json.loads((folder / "own" / "encoder.json").read_text())
    assert encoder["local_attention"] == 8
