"""Sentence pairs from a corpus, planned per shard; batches are built from the plans."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from clozekit import rng
from clozekit.config.data import PairObjective
from clozekit.corpus.shard_files import ShardFile
from clozekit.corpus.shards import Shard
from clozekit.data.batch import PretrainingBatch
from clozekit.data.order import Span, concatenated_ranges
from clozekit.data.packing import Packing
from clozekit.data.pretraining.masking import MaskingRule, mask_tokens
from clozekit.data.pretraining.pairs import PairPlan, plan_pairs
from clozekit.data.pretraining.planned_source import PlannedSource, place_special
from clozekit.data.sequence_format import SequenceFormat


@dataclass(frozen=True)
class PairRule:
    """The lengths of pairs.

    Attributes:
        max_seq_length: The maximum length of a sequence, including special tokens.
        short_seq_prob: The probability of a shorter target length.
        objective: Whether B may be random, or A and B may be swapped.
    """

    max_seq_length: int
    short_seq_prob: float
    objective: PairObjective = "next_sentence"


@dataclass(frozen=True)
class _Texts:
    """The pairs of a batch before masking: A and B of all pairs, concatenated."""

    ids: NDArray[np.int64]
    segment_lengths: NDArray[np.int64]
    labels: NDArray[np.int64]
    sample_ids: NDArray[np.int64]


class PretrainingSource(PlannedSource[PairPlan]):
    """Masked pairs from the shards of one split.

    Args:
        shards: The shards' files.
        pairs: The lengths of pairs.
        masking: How the tokens of each pair are masked.
        special: The special tokens around the texts.
        seed: The seed of pairs and masks.
    """

    num_segments = 2

    def __init__(
        self,
        shards: Sequence[Path | ShardFile],
        pairs: PairRule,
        masking: MaskingRule,
        special: SequenceFormat,
        seed: int,
    ) -> None:
        super().__init__(shards, masking, special, seed)
        self.pairs = pairs

    def make_plan(self, shard: Shard, epoch: int, index: int) -> PairPlan:
        """Plans the pairs of a shard in an epoch."""
        return plan_pairs(
            shard.sentence_offsets,
            shard.document_offsets,
            max_seq_length=self.pairs.max_seq_length,
            short_seq_prob=self.pairs.short_seq_prob,
            key=(self.seed, epoch, index),
            num_special_tokens=self.num_special_tokens,
            objective=self.pairs.objective,
        )

    def build(self, spans: list[Span], is_training: bool) -> PretrainingBatch:
        """Gathers the pairs' tokens, masks and packs them, as in `[CLS] A [SEP] B [SEP]`."""
        texts = self._gather(spans)
        epoch, shard, sentence = texts.sample_ids.T
        masked = mask_tokens(
            texts.ids,
            texts.segment_lengths,
            rng.hash64(self.seed, epoch, shard, sentence),
            self.masking,
        )
        a_lengths, b_lengths = texts.segment_lengths.T
        lengths = a_lengths + b_lengths + self.num_special_tokens
        ends = np.cumsum(lengths)
        begins = ends - lengths

        before, between, after = self.special.around_two
        a_begins = begins + len(before)
        b_begins = a_begins + a_lengths + len(between)
        segment_begins = np.stack([a_begins, b_begins], axis=1)
        text_places = concatenated_ranges(segment_begins.ravel(), texts.segment_lengths.ravel())
        input_ids = np.empty(int(ends[-1]), np.int64)
        input_ids[text_places] = masked.input_ids
        place_special(input_ids, begins, before)
        place_special(input_ids, a_begins + a_lengths, between)
        place_special(input_ids, b_begins + b_lengths, after)
        token_type_ids = self.special.type_ids(texts.segment_lengths).astype(np.int64)
        return PretrainingBatch(
            input_ids=torch.from_numpy(input_ids),
            token_type_ids=torch.from_numpy(token_type_ids),
            packing=Packing.from_lengths(lengths),
            sample_ids=torch.from_numpy(texts.sample_ids),
            masked_lm_positions=torch.from_numpy(text_places[masked.places]),
            masked_lm_labels=torch.from_numpy(masked.labels),
            next_sentence_label=torch.from_numpy(texts.labels),
        )

    def _gather(self, spans: list[Span]) -> _Texts:
        ids, lengths, labels, sample_ids = [], [], [], []
        for span in spans:
            shard, plan = self.planned(span.epoch, span.shard)
            chosen = span.samples
            starts = np.stack([plan.a_start[chosen], plan.b_start[chosen]], axis=1)
            ends = np.stack([plan.a_end[chosen], plan.b_end[chosen]], axis=1)
            places = concatenated_ranges(starts.ravel(), (ends - starts).ravel())
            ids.append(shard.tokens[places].astype(np.int64))
            lengths.append(ends - starts)
            labels.append(plan.next_sentence_label[chosen])
            sentence = plan.first_sentence[chosen]
            sample_ids.append(
                np.stack(
                    [
                        np.full_like(sentence, span.epoch),
                        np.full_like(sentence, span.shard),
                        sentence,
                    ],
                    axis=1,
                )
            )
        return _Texts(
            np.concatenate(ids),
            np.concatenate(lengths),
            np.concatenate(labels),
            np.concatenate(sample_ids),
        )
