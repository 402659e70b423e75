"""A whole run on a GPU: compiled or not, its losses are those of the CPU but for rounding."""

from pathlib import Path

import pytest
import torch

from clozekit.train import train
from tests.programs.commands import QUIET, TINY, read_rows, train_config

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")

SETTINGS = (
    *TINY,
    *QUIET,
    "encoder.hidden_dropout_prob=0",
    "encoder.attention_probs_dropout_prob=0",
    "max_steps=8",
    "global_batch_size=32",
    "micro_batch_size=8",
    "validate_every_n_steps=4",
    "optimizer.lr=1e-3",
    "trainer.log_every_n_steps=1",
)


def losses(corpus: Path, folder: Path, name: str, *overrides: str) -> list[float]:
    """The losses of training, and after them those of validation."""
    torch._dynamo.reset()
    where = (f"name={name}", f"data.path={corpus}", f"runs_dir={folder}")
    try:
        train(train_config(*where, *SETTINGS, *overrides))
    finally:
        torch.set_float32_matmul_precision("highest")
    rows = read_rows(folder / name / "metrics.csv")
    return [
        float(row[column])
        for column in ("train/loss", "validation/loss")
        for row in rows
        if row[column]
    ]


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize("precision", ["bf16-mixed", "32-true"])
@pytest.mark.parametrize("compiling", ["off", "default", "static", "reduce_overhead"])
def test_losses_on_a_gpu_are_those_of_the_cpu(
    compiling: str, precision: str, corpus: Path, tmp_path: Path
) -> None:
    expected = losses(corpus, tmp_path, "cpu")
    found = losses(
        corpus,
        tmp_path,
        "gpu",
        "trainer=gpu",
        f"trainer.precision={precision}",
        f"compile={compiling}",
        "data.num_workers=2",
    )
    assert len(found) == len(expected) > 8
    assert found == pytest.approx(expected, rel=0.03)


def test_padding_to_static_shapes_changes_rounding_only(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On the CPU with a backend that compiles nothing: the whole run with padded batches."""
    compile_as_given = torch.compile

    def compile_eagerly(model: torch.nn.Module, **options: object) -> object:
        assert options == {"mode": "reduce-overhead", "fullgraph": True, "dynamic": False}
        return compile_as_given(model, fullgraph=True, dynamic=False, backend="eager")

    expected = losses(corpus, tmp_path, "plain", "trainer.precision=64-true")
    monkeypatch.setattr(torch, "compile", compile_eagerly)
    options = ("compile=reduce_overhead", "compile.pad_tokens_to=256", "trainer.precision=64-true")
    found = losses(corpus, tmp_path, "padded", *options)
    assert len(found) > 8 and found == pytest.approx(expected, rel=1e-9)
