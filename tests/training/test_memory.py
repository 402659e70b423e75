"""The estimate of memory against what autograd keeps, and against what a run takes."""

import random
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from clozekit.config.encoder import EncoderConfig
from clozekit.data.labelled.labelled_source import LabelledSource
from clozekit.data.packing import Packing
from clozekit.data.stream import BatchShape, Phase
from clozekit.models.encoder import Encoder
from clozekit.training.memory import kept_for_backward, largest_micro_batch
from tests.data.labelled.labelled_rows import drawn
from tests.harness.command_server import server
from tests.programs.commands import environment_with_tests


def bytes_kept(encoder: Encoder, lengths: Any) -> int:
    """Adds up what autograd keeps of a forward, but for the weights."""
    weights = {parameter.untyped_storage().data_ptr() for parameter in encoder.parameters()}
    kept: dict[int, torch.UntypedStorage] = {}

    def note(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage
        return tensor

    packing = Packing.from_lengths(lengths)
    ids = torch.ones(int(lengths.sum()), dtype=torch.int64)
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        output = encoder(ids, torch.zeros_like(ids), packing=packing)
    total = sum(storage.nbytes() for storage in kept.values())
    del output
    return total


@pytest.mark.parametrize(
    ("hidden", "layers", "heads", "num_sequences", "seq_length", "dropout"),
    [
        (64, 2, 2, 32, 48, 0.1),
        (128, 4, 2, 16, 128, 0.1),
        (64, 6, 4, 4, 384, 0.1),
        (256, 3, 4, 8, 64, 0.0),
    ],
)
def test_what_is_kept_for_backward_is_estimated(
    hidden: int, layers: int, heads: int, num_sequences: int, seq_length: int, dropout: float
) -> None:
    config = EncoderConfig(
        vocab_size=100,
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=4 * hidden,
        max_position_embeddings=512,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=dropout,
    )
    lengths = np.full(num_sequences, seq_length)
    measured = bytes_kept(Encoder(config), lengths)
    estimate = kept_for_backward(config, int(lengths.sum()), seq_length)
    assert estimate == pytest.approx(measured, rel=0.25)


def test_the_largest_micro_batch_has_the_longest_rows() -> None:
    rows = drawn("classification", 40)
    phase = Phase(LabelledSource(rows, is_training=True), BatchShape(40, 10))
    longest = np.sort(rows.lengths)[-10:]
    assert largest_micro_batch([phase]) == longest.sum()


def test_a_gpu_does_not_keep_the_weights_of_attention() -> None:
    config = EncoderConfig(vocab_size=100)
    without = config.model_copy(update={"attention_probs_dropout_prob": 0.0})
    on_gpu = kept_for_backward(config, 1000, 128, keeps_attention=False)
    assert on_gpu == kept_for_backward(without, 1000, 128) < kept_for_backward(config, 1000, 128)


@pytest.mark.parametrize(
    ("hidden", "layers", "heads", "num_sequences", "seq_length", "dropout"),
    [
        (128, 8, 2, 32, 128, 0.1),
        (256, 5, 4, 8, 384, 0.1),
        (384, 3, 6, 48, 64, 0.1),
        (256, 6, 4, 24, 128, 0.0),
    ],
)
def test_what_training_takes_is_estimated(
    hidden: int,
    layers: int,
    heads: int,
    num_sequences: int,
    seq_length: int,
    dropout: float,
    tmp_path: Path,
) -> None:
    words = [f"w{number}" for number in range(100)]
    special_tokens = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
    (tmp_path / "vocab.txt").write_text("\n".join([*special_tokens, *words]))
    draw = random.Random(1)
    rows = [
        f"{' '.join(draw.choices(words, k=seq_length - 2))},{label}"
        for label in "ab" * num_sequences
    ]
    (tmp_path / "rows.csv").write_text("\n".join(["text,label", *rows]))
    finished = server().run(
        [
            *("train", "task=classification", "data=classification", "data.train=rows.csv"),
            *("data.validation=rows.csv", "data.tokenizer=vocab.txt", "logger.wandb=null"),
            *(f"data.max_seq_length={seq_length}", f"encoder.max_position_embeddings={seq_length}"),
            *(f"encoder.hidden_size={hidden}", f"encoder.num_hidden_layers={layers}"),
            *(f"encoder.num_attention_heads={heads}", f"encoder.intermediate_size={4 * hidden}"),
            *(f"encoder.hidden_dropout_prob={dropout}", "trainer.limit_val_batches=0"),
            f"encoder.attention_probs_dropout_prob={dropout}",
            *(f"global_batch_size={num_sequences}", f"micro_batch_size={num_sequences}"),
            *("name=run", "max_steps=2", "max_epochs=null"),
            *(
                "+callbacks.growth._target_=tests.training.memory_growth.Growth",
                "+callbacks.growth.path=growth",
            ),
        ],
        tmp_path,
        environment_with_tests() | {"OMP_NUM_THREADS": "1"},
        seconds=300,
    )
    assert finished.returncode == 0, finished.stderr
    shown = r"gradients and optimizer ([\d,]+) MiB, and\s+activations ([\d,]+) MiB"
    found = re.search(shown, finished.stdout + finished.stderr)
    assert found is not None, finished.stdout
    estimate = sum(int(mebibytes.replace(",", "")) for mebibytes in found.groups())
    measured = int((tmp_path / "growth").read_text()) / 2**20
    assert estimate == pytest.approx(measured, rel=0.25)
