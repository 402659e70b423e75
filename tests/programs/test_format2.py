"""Checkpoints of format 2: a run goes on from one as the version that wrote it would have.

The same runs made anew have to give the same numbers, so these tests also hold the training loop
to what it computed before.
"""

import contextlib
import csv
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from clozekit.config.evaluate import EvaluateConfig
from clozekit.config.export import ExportConfig
from clozekit.evaluate import evaluate
from clozekit.export import export
from clozekit.loading import load
from clozekit.runs.checkpoint_file import FORMAT_VERSION, META_KEY, load_checkpoint
from clozekit.train import train
from tests.harness.cases import prepare_overrides, write_data
from tests.programs.commands import TIMES, run_clozekit, train_config

FORMAT2 = Path(__file__).resolve().parents[1] / "runs" / "format2"

ALL = (
    "encoder.hidden_size=16",
    "encoder.num_hidden_layers=1",
    "encoder.num_attention_heads=2",
    "encoder.intermediate_size=32",
    "encoder.max_position_embeddings=32",
    "encoder.hidden_dropout_prob=0.1",
    "encoder.attention_probs_dropout_prob=0.1",
    "encoder.initializer_range=0.1",
    "data.max_seq_length=32",
    "max_steps=12",
    "global_batch_size=8",
    "micro_batch_size=4",
    "validate_every_n_steps=4",
    "callbacks.checkpoints.every_n_steps=6",
    "logger.wandb=null",
    "optimizer.lr=3e-3",
    "trainer.log_every_n_steps=1",
)
TASKS = {
    "pretraining": ("data.path=data/corpus",),
    "classification": (
        "task=classification",
        "data=classification",
        "data.train=data/labelled.csv",
        "data.tokenizer=data/corpus/tokenizer.json",
        "data.validation_fraction=0.2",
    ),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the data of the old runs, prepared anew."""
    folder = tmp_path_factory.mktemp("format2")
    write_data(folder / "data")
    finished = run_clozekit("prepare", *prepare_overrides(Path("data")), cwd=folder)
    assert finished.returncode == 0, finished.stderr
    return folder


def run_again(folder: Path, task: str, name: str, *more: str) -> Path:
    """Trains as the old run was trained; returns the run's folder."""
    with contextlib.chdir(folder):
        train(train_config(f"name={name}", *ALL, *TASKS[task], *more))
    return folder / "runs" / name


def assert_is_old_run(run: Path, task: str, first_step: int) -> None:
    """Compares weights and history with those of the old run.

    Not bit for bit, which holds on one kind of CPU only; another batch, mask or dropout changes
    weights and losses by a thousand times the tolerance.
    """
    file = run / "checkpoints" / "last.ckpt"
    weights, old = load_checkpoint(file).state_dict, load_file(FORMAT2 / task / "final.safetensors")
    assert weights.keys() == old.keys()
    for name, value in old.items():
        torch.testing.assert_close(weights[name], value, rtol=1e-5, atol=1e-5, msg=name)
    expected = history(FORMAT2 / task / "metrics.csv", first_step)
    found = history(run / "metrics.csv", first_step)
    # Logged since: a constant of the data.
    found.pop((first_step, "train/unigram_entropy"), None)
    assert found.keys() == expected.keys()
    assert found == pytest.approx(expected, rel=1e-5, abs=1e-5)


def history(file: Path, first_step: int) -> dict[tuple[int, str], float]:
    with file.open(newline="") as opened:
        return {
            (int(row["step"]), name): float(value)
            for row in csv.DictReader(opened)
            for name, value in row.items()
            if value and name not in TIMES and int(row["step"]) >= first_step
        }


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_a_run_goes_on_from_format_2_as_it_would_have(task: str, folder: Path) -> None:
    checkpoint = FORMAT2 / task / "step-6.ckpt"
    run = run_again(folder, task, f"resumed-{task}", f"resume={checkpoint}")
    assert_is_old_run(run, task, first_step=7)
    last = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    assert last[META_KEY]["format_version"] == FORMAT_VERSION


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_the_same_run_made_anew_gives_the_same_numbers(task: str, folder: Path) -> None:
    assert_is_old_run(run_again(folder, task, f"anew-{task}"), task, first_step=1)


@pytest.mark.parametrize("task", TASKS)
def test_format_2_predicts(task: str) -> None:
    model = load(FORMAT2 / task / "step-6.ckpt", device="cpu")
    assert model.task == task
    (prediction,) = model.predict(["the cow sees the [MASK] ."])
    assert prediction.keys() & {"words", "label"}


def test_format_2_is_evaluated_on_its_own_data(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(folder)
    checkpoint = FORMAT2 / "classification" / "step-6.ckpt"
    config = {"checkpoint": str(checkpoint), "out": tmp_path / "out", "device": "cpu"}
    metrics = evaluate(EvaluateConfig.model_validate(config))
    assert metrics.keys() == {"accuracy", "f1_macro", "loss", "matthews_correlation"}


@pytest.mark.parametrize("task", TASKS)
def test_format_2_is_exported(task: str, tmp_path: Path) -> None:
    checkpoint = FORMAT2 / task / "step-6.ckpt"
    config = {"checkpoint": str(checkpoint), "out": tmp_path / "out", "format": "transformers"}
    export(ExportConfig.model_validate(config))
    weights = load(checkpoint, device="cpu").model.state_dict()
    again = load(tmp_path / "out", device="cpu").model.state_dict()
    assert weights.keys() == again.keys()
    assert all(torch.equal(weights[name], again[name]) for name in weights)
