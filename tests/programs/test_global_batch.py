"""A global batch's samples, gradient and loss are the same however it is shared out."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
import torch
from torch import Tensor

from clozekit.train import train
from tests.programs import recorder
from tests.programs.commands import (
    QUIET,
    TINY,
    read_rows,
    run_clozekit,
    run_ranks,
    train_config,
)
from tests.programs.interrupted_runs import slurm_variables

STEPS = 3
SETTINGS = (
    "name=mine",
    *TINY,
    *QUIET,
    "encoder.hidden_dropout_prob=0",
    "encoder.attention_probs_dropout_prob=0",
    "data.short_seq_prob=0.3",
    f"max_steps={STEPS}",
    "global_batch_size=8",
    "optimizer.lr=1e-3",
    "trainer.precision=64-true",
    "trainer.log_every_n_steps=1",
    "+callbacks.recorder.folder=records",
)
TWO = ("micro_batch_size=2", "trainer=ddp_cpu", "trainer.precision=64-true")
SHAPES = {
    "1 process x 1": ("micro_batch_size=8",),
    "1 process x 4": ("micro_batch_size=2",),
    "2 processes x 2": TWO,
    "2 processes x 2 by torchrun": TWO,
    "2 processes x 2 by Slurm": TWO,
}
"""Processes x accumulation; the trainer's group first brings its own precision."""

SHARED = list(SHAPES)[1:]
BY_TWO = list(SHAPES)[2:]


@dataclass
class Recorded:
    """What the recorder kept of every process, and what the run wrote."""

    ranks: list[dict[str, Any]]
    rows: list[dict[str, str]]
    results: dict[str, float]

    @property
    def gradients(self) -> dict[str, Tensor]:
        gradients: dict[str, Tensor] = self.ranks[0]["gradients"]
        return gradients

    def micro_batches(self, step: int) -> list[dict[str, Any]]:
        return [m for rank in self.ranks for m in rank["micro_batches"] if m["step"] == step]


def run_on_two(name: str, *arguments: str, cwd: Path) -> list[CompletedProcess[str]]:
    if name.endswith("torchrun"):
        return run_ranks(*arguments, cwd=cwd)
    if name.endswith("Slurm"):
        return run_ranks(*arguments, cwd=cwd, variables=slurm_variables)
    return [run_clozekit(*arguments, cwd=cwd)]


@pytest.fixture(scope="module")
def runs(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Recorded]:
    recorded = {}
    for name, shape in SHAPES.items():
        folder = tmp_path_factory.mktemp("shape")
        (folder / "records").mkdir()
        overrides = (*SETTINGS, *shape, f"data.path={corpus}")
        if "trainer=ddp_cpu" in shape:
            shutil.copy(recorder.__file__, folder / "recorder.py")
            target = "+callbacks.recorder._target_=recorder.Recorder"
            for finished in run_on_two(name, "train", *overrides, target, cwd=folder):
                assert finished.returncode == 0, finished.stderr
        else:
            target = f"+callbacks.recorder._target_={recorder.__name__}.Recorder"
            with pytest.MonkeyPatch.context() as patch:
                patch.chdir(folder)
                train(train_config(*overrides, target))
        recorded[name] = Recorded(
            [torch.load(path) for path in sorted((folder / "records").iterdir())],
            read_rows(folder / "runs" / "mine" / "metrics.csv"),
            json.loads((folder / "runs" / "mine" / "results.json").read_text()),
        )
    return recorded


@pytest.mark.slow
def test_the_shares_are_what_the_shapes_say(runs: dict[str, Recorded]) -> None:
    assert [len(run.ranks) for run in runs.values()] == [1, 1, 2, 2, 2]
    for name, expected in zip(SHAPES, (1, 4, 4, 4, 4), strict=True):
        for step in range(STEPS):
            assert len(runs[name].micro_batches(step)) == expected


@pytest.mark.slow
def test_a_global_step_has_the_same_samples(runs: dict[str, Recorded]) -> None:
    for step in range(STEPS):
        samples = [
            sorted(sample for m in run.micro_batches(step) for sample in m["sample_ids"])
            for run in runs.values()
        ]
        assert len(samples[0]) == 8
        assert all(others == samples[0] for others in samples)


@pytest.mark.slow
def test_micro_batches_have_very_uneven_numbers_of_targets(runs: dict[str, Recorded]) -> None:
    for name in SHARED:
        targets = [m["num_targets"] for m in runs[name].micro_batches(0)]
        assert max(targets) >= 2 * min(targets)


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHARED)
def test_the_gradient_is_that_of_the_whole_batch_at_once(
    shape: str, runs: dict[str, Recorded]
) -> None:
    expected, gradients = runs["1 process x 1"].gradients, runs[shape].gradients
    assert gradients.keys() == expected.keys()
    largest = max(float(gradient.abs().max()) for gradient in expected.values())
    assert largest > 1e-3
    for name, gradient in expected.items():
        assert gradient.dtype == torch.float64
        assert float((gradients[name] - gradient).abs().max()) < 1e-10 * largest, name


@pytest.mark.slow
@pytest.mark.parametrize("shape", BY_TWO)
def test_both_processes_have_the_same_gradient(shape: str, runs: dict[str, Recorded]) -> None:
    first, second = (rank["gradients"] for rank in runs[shape].ranks)
    assert all(torch.equal(second[name], gradient) for name, gradient in first.items())


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHARED)
def test_the_history_is_the_same(shape: str, runs: dict[str, Recorded]) -> None:
    expected, rows = runs["1 process x 1"].rows, runs[shape].rows
    assert len(rows) == len(expected) == STEPS + 1
    for row, other in zip(rows, expected, strict=True):
        assert row.keys() == other.keys()
        for name, value in other.items():
            if value:
                # Validation's metrics are kept in float32.
                precision = 1e-6 if name.startswith("validation/") else 1e-9
                assert float(row[name]) == pytest.approx(float(value), rel=precision), name


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHARED)
def test_validation_counts_every_example_once(shape: str, runs: dict[str, Recorded]) -> None:
    assert runs[shape].results == pytest.approx(runs["1 process x 1"].results, rel=1e-6)
