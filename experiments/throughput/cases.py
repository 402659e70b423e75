"""What is compared: models, batches, and the steps of clozekit and of transformers on them."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from shards import SPECIAL, SPECIAL_TOKENS, VOCAB_SIZE, drawn_shard
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from clozekit.config.encoder import EncoderConfig
from clozekit.data.batch import PretrainingBatch
from clozekit.data.order import Position
from clozekit.data.pretraining.masking import MaskingRule
from clozekit.data.pretraining.pair_source import PairRule, PretrainingSource
from clozekit.data.stream import BatchShape, Phase, TrainingStream
from clozekit.interop.head_names import make_model
from clozekit.optim.groups import parameter_groups
from clozekit.tasks.pretraining import pretraining_losses

IGNORED = -100
LEARNING_RATE, WEIGHT_DECAY, MAX_NORM = 1e-4, 0.01, 1.0

Step = Callable[[], None]


@dataclass(frozen=True)
class Size:
    """An encoder's size, and the pairs of a batch at each length."""

    name: str
    layers: int
    hidden: int
    heads: int
    pairs: dict[int, int]

    def encoder(self, dropout: float) -> EncoderConfig:
        return EncoderConfig(
            vocab_size=VOCAB_SIZE,
            hidden_size=self.hidden,
            num_hidden_layers=self.layers,
            num_attention_heads=self.heads,
            intermediate_size=4 * self.hidden,
            hidden_dropout_prob=dropout,
            attention_probs_dropout_prob=dropout,
        )


SIZES = (
    Size("tiny", 2, 128, 2, {128: 32, 512: 8}),
    Size("mini", 4, 256, 4, {128: 32, 512: 8}),
    Size("small", 4, 512, 8, {128: 16, 512: 4}),
    Size("base", 12, 768, 12, {128: 8, 512: 2}),
)


def size_named(name: str) -> Size:
    return next(size for size in SIZES if size.name == name)


def reference_config(config: EncoderConfig, **more: Any) -> transformers.BertConfig:
    return transformers.BertConfig(**config.published(), attn_implementation="sdpa", **more)


def pretraining_batches(size: Size, seq_len: int, number: int) -> list[PretrainingBatch]:
    """Makes pairs with the lengths of English prose, masked."""
    return drawn_batches(seq_len, size.pairs[seq_len], number)


def drawn_batches(
    seq_len: int, pairs: int, number: int, num_documents: int = 2_000
) -> list[PretrainingBatch]:
    """Does the same for any number of pairs."""
    with drawn_shard(num_documents) as shard:
        phase = Phase(pairs_of(shard, seq_len), BatchShape(pairs, pairs))
        steps: Any = TrainingStream([phase], 0, Position())
        return [step.micro_batches[0] for step in islice(steps, number)]


def pairs_of(shard: Path, seq_len: int) -> PretrainingSource:
    return PretrainingSource(
        [shard],
        PairRule(seq_len, short_seq_prob=0.1),
        MaskingRule(mask_token_id=SPECIAL_TOKENS.mask, replacement_ids=np.arange(5, VOCAB_SIZE)),
        SPECIAL,
        seed=0,
    )


def adamw(
    parameters: list[dict[str, Any]], learning_rate: float = LEARNING_RATE
) -> torch.optim.Optimizer:
    return torch.optim.AdamW(parameters, lr=learning_rate, fused=True)


def finished(loss: Tensor, model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), MAX_NORM)
    optimizer.step()
    optimizer.zero_grad()


class OurPretraining:
    """clozekit's steps: its model, its losses, its parameter groups."""

    def __init__(self, config: EncoderConfig, learning_rate: float = LEARNING_RATE) -> None:
        self.model = make_model(["masked_lm_head", "next_sentence_head"], config).train()
        self.optimizer = adamw(parameter_groups(self.model, WEIGHT_DECAY), learning_rate)

    def __call__(self, batch: PretrainingBatch) -> Step:
        return lambda: finished(self.loss(batch), self.model, self.optimizer)

    def loss(self, batch: PretrainingBatch) -> Tensor:
        mlm, nsp = pretraining_losses(self.model, batch)
        return mlm.loss_sum / len(batch.masked_lm_labels) + nsp.loss_sum / batch.batch_size

    def masked_lm_loss_sum(self, batch: PretrainingBatch) -> float:
        return float(pretraining_losses(self.model, batch).masked_lm.loss_sum)


class TheirPretraining:
    """transformers' steps, on batches that are padded to their longest pair beforehand."""

    def __init__(self, config: EncoderConfig, learning_rate: float = LEARNING_RATE) -> None:
        self.model = transformers.BertForPreTraining(reference_config(config)).train()
        self.optimizer = adamw(parameter_groups(self.model, WEIGHT_DECAY), learning_rate)

    def __call__(self, batch: PretrainingBatch) -> Step:
        inputs = padded_inputs(batch)
        return lambda: finished(self.loss_of(inputs), self.model, self.optimizer)

    def loss(self, batch: PretrainingBatch) -> Tensor:
        return self.loss_of(padded_inputs(batch))

    def loss_of(self, inputs: dict[str, Tensor]) -> Tensor:
        loss: Tensor = self.model(**inputs).loss
        return loss

    def masked_lm_loss_sum(self, batch: PretrainingBatch) -> float:
        logits = batch.packing.unpad(self.model(**batch.padded()).prediction_logits)
        masked = logits[batch.masked_lm_positions]
        return float(F.cross_entropy(masked, batch.masked_lm_labels, reduction="sum"))


def padded_inputs(batch: PretrainingBatch) -> dict[str, Tensor]:
    """Gives the batch in transformers' form."""
    of_tokens = torch.full_like(batch.input_ids, IGNORED)
    of_tokens[batch.masked_lm_positions] = batch.masked_lm_labels
    return {
        **batch.padded(),
        "labels": batch.packing.pad(of_tokens - IGNORED) + IGNORED,
        "next_sentence_label": batch.next_sentence_label,
    }


def step_flops(config: EncoderConfig, batch: PretrainingBatch) -> float:
    """Counts a training step's operations in matrix products, on real tokens, forward and backward.

    Two operations a multiply-add, three products a linear layer; attention by each sequence's own
    length.
    """
    hidden, intermediate = config.hidden_size, config.intermediate_size
    lengths = batch.packing.cu_seqlens.diff().double()
    block = 4 * hidden * hidden + 2 * hidden * intermediate
    linear = config.num_hidden_layers * block * float(lengths.sum())
    attention = config.num_hidden_layers * 2 * hidden * float((lengths**2).sum())
    assert config.vocab_size is not None
    masked = len(batch.masked_lm_labels) * (hidden * hidden + hidden * config.vocab_size)
    pooled = batch.batch_size * hidden * hidden
    return 6 * (linear + attention + masked + pooled)
