"""Evaluation and prediction in every precision: how near they are, and what dtypes they have."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from clozekit.config.values import Precision
from clozekit.data.labelled.labelled_source import LabelledSource
from clozekit.errors import ConfigError
from clozekit.inference.precision import InferencePrecision
from clozekit.inference.row_predictor import RowPredictor
from clozekit.tasks.fine_tuning import computed_metrics
from tests.data.labelled.labelled_rows import TASKS, drawn, make_features
from tests.tasks.modules import guessing

CPU = torch.device("cpu")
DTYPES: dict[Precision, tuple[torch.dtype, torch.dtype]] = {
    "32-true": (torch.float32, torch.float32),
    "64-true": (torch.float64, torch.float64),
    "bf16-true": (torch.bfloat16, torch.bfloat16),
    "bf16-mixed": (torch.float32, torch.bfloat16),
}
"""The dtypes of the weights and of matrix products."""


def evaluated(task: str, precision: Precision) -> tuple[dict[str, float], list[Any], Any]:
    """The metrics and the predictions of a task, and its module."""
    module = guessing(task)
    computed = InferencePrecision(precision, CPU)
    computed.convert(module.model)
    predictor = RowPredictor(module, make_features(task), precision=computed)
    metrics = module.metrics_of_a_split()
    source = LabelledSource(drawn(task, 12), is_training=False)
    found = dict(predictor.predictions(source, lambda m, batch: m.evaluate_batch(metrics, batch)))
    return (
        {"loss": float(computed_metrics(metrics)["loss"])},
        [found[i] for i in sorted(found)],
        module,
    )


@pytest.mark.parametrize("task", TASKS)
def test_a_precision_changes_losses_by_its_rounding_only(task: str) -> None:
    expected, plain, _ = evaluated(task, "32-true")
    for precision, (of_weights, _) in DTYPES.items():
        metrics, predictions, module = evaluated(task, precision)
        assert {parameter.dtype for parameter in module.model.parameters()} == {of_weights}
        tolerance = 1e-5 if precision in ("32-true", "64-true") else 0.1
        assert metrics["loss"] == pytest.approx(expected["loss"], rel=tolerance), precision
        assert len(predictions) == len(plain) == 12
        if precision == "32-true":
            assert predictions == plain


@pytest.mark.parametrize("precision", DTYPES)
def test_products_have_the_dtype_of_the_precision(precision: Precision) -> None:
    module = guessing("classification")
    computed = InferencePrecision(precision, CPU)
    computed.convert(module.model)
    seen = []

    def look(layer: nn.Module, inputs: Any, output: Tensor) -> None:
        seen.append((layer.weight.dtype, output.dtype))

    module.model.classification_head.classifier.register_forward_hook(look)
    source = LabelledSource(drawn("classification", 4), is_training=False)
    predictor = RowPredictor(module, make_features("classification"), precision=computed)
    assert len(list(predictor.predictions(source))) == 4
    assert set(seen) == {DTYPES[precision]}


@pytest.mark.parametrize(
    ("precision", "device"), [("16-mixed", CPU), ("64-true", torch.device("mps"))]
)
def test_a_device_without_the_precision_is_named(
    precision: Precision, device: torch.device
) -> None:
    with pytest.raises(ConfigError, match=f"precision={precision} is not supported on the"):
        InferencePrecision(precision, device)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", [*DTYPES, "16-mixed"])
@pytest.mark.parametrize("task", TASKS)
def test_on_a_gpu_it_is_near_the_cpu(task: str, precision: Precision, tmp_path: Path) -> None:
    source = LabelledSource(drawn(task, 12), is_training=False)
    losses = []
    for device, of_device in ((CPU, "32-true"), (torch.device("cuda", 0), precision)):
        module = guessing(task)
        computed = InferencePrecision(of_device, device)  # type: ignore[arg-type]
        computed.convert(module.model)
        predictor = RowPredictor(module.to(device), make_features(task), precision=computed)
        metrics = module.metrics_of_a_split().to(device)
        found = list(
            predictor.predictions(source, lambda m, batch, k=metrics: m.evaluate_batch(k, batch))
        )
        assert len(found) == 12
        losses.append(float(computed_metrics(metrics)["loss"]))
    is_exact = precision in ("32-true", "64-true")
    assert losses[1] == pytest.approx(losses[0], rel=1e-3 if is_exact else 0.1)
