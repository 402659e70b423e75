"""Samples of full sentences from a corpus, planned per shard; batches are built from the plans."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from clozekit import rng
from clozekit.corpus.shard_files import ShardFile
from clozekit.corpus.shards import Shard
from clozekit.data.batch import MaskedLMBatch
from clozekit.data.order import Span, concatenated_ranges
from clozekit.data.packing import Packing
from clozekit.data.pretraining.full_sentences import FullSentencesPlan, plan_full_sentences
from clozekit.data.pretraining.masking import MaskingRule, mask_tokens
from clozekit.data.pretraining.planned_source import PlannedSource, place_special
from clozekit.data.sequence_format import SequenceFormat


class FullSentencesSource(PlannedSource[FullSentencesPlan]):
    """Masked full sentences from the shards of one split.

    A sample has one sequence per document in it, so a batch may have more sequences than samples.

    Args:
        shards: The shards' files.
        max_seq_length: The maximum number of tokens of a sample, including special tokens.
        short_seq_prob: The probability that a sample has a shorter target length.
        masking: How the tokens of each sequence are masked.
        special: The special tokens around a text.
        seed: The seed of samples and masks.
    """

    num_segments = 1

    def __init__(
        self,
        shards: Sequence[Path | ShardFile],
        max_seq_length: int,
        short_seq_prob: float,
        masking: MaskingRule,
        special: SequenceFormat,
        seed: int,
    ) -> None:
        super().__init__(shards, masking, special, seed)
        self.max_seq_length = max_seq_length
        self.short_seq_prob = short_seq_prob

    def make_plan(self, shard: Shard, epoch: int, index: int) -> FullSentencesPlan:
        """Plans the samples of a shard in an epoch."""
        return plan_full_sentences(
            shard.sentence_offsets,
            shard.document_offsets,
            max_seq_length=self.max_seq_length,
            short_seq_prob=self.short_seq_prob,
            key=(self.seed, epoch, index),
            num_special_tokens=self.num_special_tokens,
        )

    def build(self, spans: list[Span], is_training: bool) -> MaskedLMBatch:
        """Gathers the sequences' tokens, masks them and packs them, as in `[CLS] text [SEP]`."""
        texts, lengths, names = [], [], []
        for span in spans:
            shard, plan = self.planned(span.epoch, span.shard)
            sequences = plan.sequences_of(span.samples)
            start, length = plan.start[sequences], plan.num_text_tokens[sequences]
            texts.append(shard.tokens[concatenated_ranges(start, length)].astype(np.int64))
            lengths.append(length)
            names.append(
                np.stack(
                    [np.full_like(start, span.epoch), np.full_like(start, span.shard), start],
                    axis=1,
                )
            )
        text_ids, text_lengths = np.concatenate(texts), np.concatenate(lengths)
        sample_ids = np.concatenate(names)
        epoch, shard_index, start = sample_ids.T
        masked = mask_tokens(
            text_ids,
            text_lengths[:, None],
            rng.hash64(self.seed, epoch, shard_index, start),
            self.masking,
        )
        before, after = self.special.around_one
        ends = np.cumsum(text_lengths + self.num_special_tokens)
        begins = ends - text_lengths - self.num_special_tokens
        text_begins = begins + len(before)
        text_places = concatenated_ranges(text_begins, text_lengths)
        input_ids = np.empty(int(ends[-1]), np.int64)
        input_ids[text_places] = masked.input_ids
        place_special(input_ids, begins, before)
        place_special(input_ids, text_begins + text_lengths, after)
        return MaskedLMBatch(
            input_ids=torch.from_numpy(input_ids),
            token_type_ids=torch.zeros(len(input_ids), dtype=torch.int64),
            packing=Packing.from_lengths(ends - begins),
            sample_ids=torch.from_numpy(sample_ids),
            masked_lm_positions=torch.from_numpy(text_places[masked.places]),
            masked_lm_labels=torch.from_numpy(masked.labels),
        )
