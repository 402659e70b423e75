"""What the summary before training says."""

from typing import get_args

import pytest
import torch
from lightning.pytorch import Trainer
from torch import nn
from torch.nn import functional as F  # noqa: N812

from clozekit.config.trainer import TrainerConfig
from clozekit.models.precision import product_dtype
from clozekit.tasks.masked_lm import MaskedLMModule
from clozekit.training.run_summary import PRECISION_DTYPES, _attention
from tests.models.batches import tiny_config

# Lightning has 16-mixed on GPUs only.
PRECISIONS = sorted({*get_args(TrainerConfig.model_fields["precision"].annotation)} - {"16-mixed"})


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_dtype_of_a_precision_is_that_of_the_layers(precision: str) -> None:
    trainer = Trainer(accelerator="cpu", precision=precision, logger=False, barebones=True)
    plugin = trainer.precision_plugin
    with plugin.module_init_context():
        layer = nn.Linear(3, 5)
    layer = plugin.convert_module(layer)
    expected = PRECISION_DTYPES[precision.partition("-")[0]]
    with plugin.forward_context():
        inputs = plugin.convert_input(torch.zeros(2, 3))
        assert F.linear(inputs, layer.weight, layer.bias).dtype == expected
        assert product_dtype(layer.weight) == expected


def test_the_summary_says_how_attention_is_computed() -> None:
    encoder = tiny_config()
    module = MaskedLMModule(encoder)
    trainer = Trainer(accelerator="cpu", logger=False, barebones=True)
    text = _attention(module, encoder, trainer)
    expected = "on padded sequences, because the device is cpu"
    assert text == expected


def test_nothing_is_said_about_another_encoder() -> None:
    module = MaskedLMModule(tiny_config())
    module.model.encoder = nn.Module()  # type: ignore[assignment]
    trainer = Trainer(accelerator="cpu", logger=False, barebones=True)
    assert _attention(module, tiny_config(), trainer) is None
