"""What the summary before training says."""

from types import SimpleNamespace
from typing import Any, get_args

import pytest
import torch
from lightning.pytorch import Trainer
from torch import nn
from torch.nn import functional as F  # noqa: N812

from clozekit.config.trainer import TrainerConfig
from clozekit.data.labelled.labelled_source import LabelledSource
from clozekit.data.stream import BatchShape, Phase
from clozekit.models.precision import product_dtype
from clozekit.tasks.masked_lm import MaskedLMModule
from clozekit.training.run_summary import PRECISION_DTYPES, _attention, _batch
from tests.data.labelled.labelled_rows import drawn
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


@pytest.mark.parametrize(
    ("task", "sequences"),
    [("classification", 1), ("question_answering", 1), ("embedding", 2), ("multiple_choice", 3)],
)
def test_the_most_tokens_of_a_step_count_all_sequences_of_a_row(task: str, sequences: int) -> None:
    phase = Phase(LabelledSource(drawn(task, 20), is_training=True), BatchShape(8, 4))
    settings = SimpleNamespace(global_batch_size=8, max_seq_length=24)
    planned: Any = [SimpleNamespace(settings=settings)]
    trainer = Trainer(accelerator="cpu", logger=False, barebones=True)
    text = _batch(planned, [phase], trainer)
    assert text.startswith(f"8 samples per step, at most {8 * 24 * sequences} tokens, split into")
