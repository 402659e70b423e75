"""Batches that are held in memory, and a DataModule that trains on them."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from reused import SPECIAL_TOKENS, VOCAB_SIZE
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from clozekit.data.batch import Batch, ClassificationBatch, QuestionAnsweringBatch
from clozekit.data.module import StreamDataModule
from clozekit.data.order import Span
from clozekit.data.packing import Packing
from clozekit.data.step import StepTotals


class HeldBatches:
    """A source whose samples are whole batches (see `clozekit.data.stream.Source`)."""

    num_shards = 1

    def __init__(self, batches: Sequence[Batch]) -> None:
        self.batches = batches

    def num_samples(self, epoch: int, shard: int) -> int:
        return len(self.batches)

    def totals(self, spans: list[Span]) -> StepTotals:
        batch = self._batch(spans)
        labels = getattr(batch, "masked_lm_labels", None)
        num_targets = batch.batch_size if labels is None else len(labels)
        return StepTotals(batch.batch_size, batch.packing.num_tokens, num_targets)

    def arranged(self, spans: list[Span]) -> list[Span]:
        return spans

    def evaluation_spans(self, size: int) -> Iterator[Span]:
        raise NotImplementedError("held batches are only for training")

    def build(self, spans: list[Span], is_training: bool) -> Batch:
        return self._batch(spans)

    def _batch(self, spans: list[Span]) -> Batch:
        (span,) = spans
        return self.batches[int(span.samples[0])]


class HeldData(StreamDataModule):
    """Trains on held batches, each a step of one micro-batch; all of them in every epoch.

    They are in page-locked memory beforehand, so that loading them costs a step nothing.
    """

    def __init__(
        self, batches: Sequence[Batch], seq_len: int, of_task: dict[str, Any] | None = None
    ) -> None:
        super().__init__(
            seed=0,
            global_batch_size=1,
            micro_batch_size=1,
            num_workers=0,
            max_seq_length=max(8, seq_len),
        )
        self.batches = batches
        self.sources["train"] = HeldBatches(batches)
        self.tokenizer = Tokenizer(WordLevel(vocabulary(), unk_token="[UNK]"))
        self.of_task = of_task or {}

    def task_arguments(self) -> dict[str, Any]:
        return self.of_task


def vocabulary() -> dict[str, int]:
    """Names the words of the random texts, each of which is one token."""
    special = {f"[{name.upper()}]": place for name, place in vars(SPECIAL_TOKENS).items()}
    words = {f"w{place}": place for place in range(len(special), VOCAB_SIZE)}
    return special | words


def pinned(batches: Sequence[Any], device: torch.device) -> list[Any]:
    return [b.pin_memory() for b in batches] if device.type == "cuda" else list(batches)


def classification_batches(lengths: range, rows: int, number: int) -> list[ClassificationBatch]:
    generator = np.random.default_rng(0)
    return [
        ClassificationBatch(
            **_inputs(generator, lengths, rows),
            labels=torch.from_numpy(generator.integers(0, 2, rows)),
        )
        for _ in range(number)
    ]


def question_batches(lengths: range, rows: int, number: int) -> list[QuestionAnsweringBatch]:
    generator = np.random.default_rng(0)
    batches = []
    for _ in range(number):
        inputs = _inputs(generator, lengths, rows)
        start = torch.from_numpy(generator.integers(0, lengths.start - 1, rows))
        batches.append(
            QuestionAnsweringBatch(**inputs, start_positions=start, end_positions=start + 1)
        )
    return batches


def _inputs(generator: np.random.Generator, lengths: range, rows: int) -> dict[str, Any]:
    """Draws random words, with lengths that are equally likely."""
    drawn = generator.integers(lengths.start, lengths.stop, rows)
    num_tokens = int(drawn.sum())
    ids = torch.from_numpy(generator.integers(5, VOCAB_SIZE, num_tokens))
    return {
        "input_ids": ids,
        "token_type_ids": torch.zeros_like(ids),
        "packing": Packing.from_lengths(drawn),
        "sample_ids": torch.zeros(rows, 3, dtype=torch.int64),
    }
