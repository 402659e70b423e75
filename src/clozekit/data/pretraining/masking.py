"""Token masking for MLM.

Of the chosen tokens 80 % become [MASK], 10 % become another token and 10 % stay unchanged (Devlin
et al., 2019, section 3.1). Special tokens are neither chosen nor used as replacements; [UNK] may
be chosen.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clozekit import rng
from clozekit.data.pretraining.span_masking import choose_spans

Int64Array = NDArray[np.int64]

LARGEST_PACKED = 2**16
"""The number of sequences of a batch, and of tokens of a sequence, up to which (sequence, draw,
position) fit into 64 bits."""

ONE_WORD = np.ones(1)
"""The distribution of spans that are single words."""


@dataclass(frozen=True)
class MaskingRule:
    """How many tokens are masked, and how.

    Attributes:
        mask_token_id: The id of [MASK].
        replacement_ids: `[candidates]`, int64, ascending. The ids that may replace a token.
        masked_lm_prob: The fraction of a sequence's text tokens that is chosen.
        mask_token_prob: The fraction of chosen tokens that becomes [MASK].
        random_token_prob: The fraction of chosen tokens that becomes another token; the rest is
            unchanged.
        max_predictions_per_seq: The maximum number of chosen tokens per sequence, if limited.
        continues_word: `[vocab]`, bool: True for ids that continue a word. If given, whole words
            are chosen.
        ends_word: `[vocab]`, bool: True for ids after which another word begins, if that cannot be
            told from the next id.
        span_lengths: `[longest]`. The cumulative distribution of the number of words in a span. If
            given, spans of whole words are chosen. A span becomes [MASK] or other tokens, or stays
            unchanged, as a whole (Joshi et al., 2020, section 3.1).
    """

    mask_token_id: int
    replacement_ids: Int64Array
    masked_lm_prob: float = 0.15
    mask_token_prob: float = 0.8
    random_token_prob: float = 0.1
    max_predictions_per_seq: int | None = None
    continues_word: NDArray[np.bool_] | None = None
    ends_word: NDArray[np.bool_] | None = None
    span_lengths: NDArray[np.float64] | None = None

    def num_targets(self, num_text_tokens: Int64Array) -> Int64Array:
        """Returns the number of chosen tokens for sequences of `num_text_tokens`.

        It is at least one and depends only on the length, not on chance, so the denominator of a
        step's loss is known before its batches are built.
        """
        wanted = np.rint(num_text_tokens * self.masked_lm_prob).astype(np.int64)
        most = num_text_tokens
        if self.max_predictions_per_seq is not None:
            most = np.minimum(most, self.max_predictions_per_seq)
        clipped: Int64Array = np.clip(wanted, 1, most)
        return clipped


@dataclass(frozen=True)
class MaskedTokens:
    """The result of masking.

    Attributes:
        input_ids: `[text_tokens]`. The text tokens with masks.
        places: `[targets]`, ascending. The indices of the chosen tokens in the text tokens.
        labels: `[targets]`. The original ids of the chosen tokens.
    """

    input_ids: Int64Array
    places: Int64Array
    labels: Int64Array


def mask_tokens(
    text_ids: Int64Array,
    segment_lengths: Int64Array,
    sample_keys: NDArray[np.uint64],
    rule: MaskingRule,
) -> MaskedTokens:
    """Masks the text tokens of a batch.

    Args:
        text_ids: `[text_tokens]`. The tokens of A and B of each sequence, without special tokens.
        segment_lengths: `[batch, segments]`. The lengths of the segments, A and B.
        sample_keys: `[batch]`. The key of each sequence's random draws (seed, epoch and pair).
        rule: The masking rule.

    Returns:
        The masked tokens. Those of a sequence do not depend on the other sequences in the batch.
    """
    lengths = segment_lengths.sum(axis=1)
    sequence = np.repeat(np.arange(len(lengths)), lengths)
    position = np.arange(len(text_ids)) - np.repeat(np.cumsum(lengths) - lengths, lengths)

    def draw(stream: rng.Stream, tokens: Int64Array | slice) -> NDArray[np.uint64]:
        of_sequence = rng.extend(sample_keys, stream)
        return rng.extend(of_sequence[sequence[tokens]], position[tokens])

    draws = draw(rng.Stream.MASK_POSITION, slice(None))
    num_targets = rule.num_targets(lengths)
    if rule.continues_word is None:
        places = action_places = _choose_tokens(draws, sequence, position, lengths, num_targets)
    else:
        begins_word = _word_begins(text_ids, segment_lengths, rule)
        if rule.span_lengths is None:
            places, _ = choose_spans(
                draws, draws, sequence, sequence, begins_word, num_targets, ONE_WORD
            )
            action_places = places
        else:
            segment = np.repeat(np.arange(segment_lengths.size), segment_lengths.ravel())
            length_draws = draw(rng.Stream.MASK_SPAN, slice(None))
            places, action_places = choose_spans(
                draws, length_draws, sequence, segment, begins_word, num_targets, rule.span_lengths
            )

    labels = text_ids[places]
    action = rng.to_unit(draw(rng.Stream.MASK_ACTION, action_places))
    is_random = (action >= rule.mask_token_prob) & (
        action < rule.mask_token_prob + rule.random_token_prob
    )
    inputs = text_ids.copy()
    inputs[places[action < rule.mask_token_prob]] = rule.mask_token_id
    replaced = places[is_random]
    inputs[replaced] = _other_tokens(
        labels[is_random], draw(rng.Stream.MASK_REPLACEMENT, replaced), rule.replacement_ids
    )
    return MaskedTokens(inputs, places, labels)


def _word_begins(
    text_ids: Int64Array, segment_lengths: Int64Array, rule: MaskingRule
) -> NDArray[np.bool_]:
    """Returns whether each text token begins a word, `[text_tokens]`; no word spans segments."""
    assert rule.continues_word is not None
    begins_word = ~rule.continues_word[text_ids]
    if rule.ends_word is not None:
        begins_word[1:] |= rule.ends_word[text_ids[:-1]]
    lengths = segment_lengths.ravel()
    begins_word[(np.cumsum(lengths) - lengths)[lengths > 0]] = True
    return begins_word


def _choose_tokens(
    draws: NDArray[np.uint64],
    sequence: Int64Array,
    position: Int64Array,
    lengths: Int64Array,
    num_targets: Int64Array,
) -> Int64Array:
    """Chooses the tokens with the smallest draws in each sequence."""
    is_chosen = position < num_targets[sequence]
    draws = draws >> np.uint64(32)
    if max(len(lengths), lengths.max(initial=0)) > LARGEST_PACKED:
        chosen = np.lexsort((position, draws, sequence))[is_chosen]
    else:
        # One sort of numbers that hold all three is several times faster than `lexsort`.
        packed = (
            (sequence.astype(np.uint64) << np.uint64(48))
            | (draws << np.uint64(16))
            | position.astype(np.uint64)
        )
        packed.sort()
        begins = np.cumsum(lengths) - lengths
        chosen = (packed[is_chosen] & np.uint64(0xFFFF)).astype(np.int64)
        chosen += begins[sequence[is_chosen]]
    chosen.sort()
    return chosen


def _other_tokens(
    labels: Int64Array,
    draws: NDArray[np.uint64],
    replacement_ids: Int64Array,
) -> Int64Array:
    """Draws a replacement for each label, uniformly from the candidates other than the label."""
    rank = np.searchsorted(replacement_ids, labels)
    rank_in_range = np.minimum(rank, len(replacement_ids) - 1)
    is_candidate = replacement_ids[rank_in_range] == labels
    drawn = rng.to_range(draws, len(replacement_ids) - is_candidate.astype(np.int64))
    others: Int64Array = replacement_ids[drawn + (is_candidate & (drawn >= rank))]
    return others
