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
    place_in_sequence = np.arange(len(text_ids)) - np.repeat(np.cumsum(lengths) - lengths, lengths)

    def draw(stream: rng.Stream, tokens: Int64Array | slice) -> NDArray[np.uint64]:
        of_sequence = rng.extend(sample_keys, stream)
        return rng.extend(of_sequence[sequence[tokens]], place_in_sequence[tokens])

    draws = draw(rng.Stream.MASK_POSITION, slice(None))
    num_targets = rule.num_targets(lengths)
    if rule.continues_word is None:
        places = _choose_tokens(draws, sequence, place_in_sequence, lengths, num_targets)
        decided_at = places
    else:
        begins_word = ~rule.continues_word[text_ids]
        if rule.ends_word is not None:
            begins_word[1:] |= rule.ends_word[text_ids[:-1]]
        segment_begins = np.cumsum(segment_lengths.ravel()) - segment_lengths.ravel()
        begins_word[segment_begins[segment_lengths.ravel() > 0]] = True
        if rule.span_lengths is None:
            places = _choose_words(draws, sequence, begins_word, num_targets)
            decided_at = places
        else:
            segment = np.repeat(np.arange(segment_lengths.size), segment_lengths.ravel())
            places, decided_at = choose_spans(
                draws,
                draw(rng.Stream.MASK_SPAN, slice(None)),
                sequence,
                segment,
                begins_word,
                num_targets,
                rule.span_lengths,
            )

    labels = text_ids[places]
    action = rng.to_unit(draw(rng.Stream.MASK_ACTION, decided_at))
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


def _choose_tokens(
    draws: NDArray[np.uint64],
    sequence: Int64Array,
    place_in_sequence: Int64Array,
    lengths: Int64Array,
    num_targets: Int64Array,
) -> Int64Array:
    """Chooses the tokens with the smallest draws in each sequence."""
    # One sort of (sequence, 32 bits of the draw, place) is several times faster than an argsort,
    # and the fixed widths keep the result independent of the other sequences in the batch.
    packed = (
        (sequence.astype(np.uint64) << np.uint64(48))
        | ((draws >> np.uint64(32)) << np.uint64(16))
        | place_in_sequence.astype(np.uint64)
    )
    packed.sort()
    begins = np.cumsum(lengths) - lengths
    is_chosen = place_in_sequence < num_targets[sequence]
    places = (packed[is_chosen] & np.uint64(0xFFFF)).astype(np.int64) + begins[sequence[is_chosen]]
    places.sort()
    return places


def _choose_words(
    draws: NDArray[np.uint64],
    sequence: Int64Array,
    begins_word: NDArray[np.bool_],
    num_targets: Int64Array,
) -> Int64Array:
    """Chooses whole words in random order, skipping those that no longer fit.

    If whole words cannot fill a sequence's number of targets (every remaining word is longer than
    the missing number), the first remaining word is masked partly, from its start. So the number of
    targets, and the denominator of the loss, is always as computed by `MaskingRule.num_targets`.
    """
    word_begin = np.flatnonzero(begins_word)
    word_size = np.diff(np.append(word_begin, len(sequence)))
    word_sequence = sequence[word_begin]
    by_draw = np.lexsort((draws[word_begin], word_sequence))
    words_in = np.bincount(word_sequence, minlength=len(num_targets))
    first_word = np.cumsum(words_in) - words_in

    missing = num_targets.copy()
    masked_size = np.zeros(len(word_begin), np.int64)
    for turn in range(int(words_in.max())):
        open_sequences = np.flatnonzero((missing > 0) & (turn < words_in))
        if not len(open_sequences):
            break
        word = by_draw[first_word[open_sequences] + turn]
        fits = word_size[word] <= missing[open_sequences]
        masked_size[word[fits]] = word_size[word[fits]]
        missing[open_sequences[fits]] -= word_size[word[fits]]
    for unmet in np.flatnonzero(missing).tolist():
        words = by_draw[first_word[unmet] : first_word[unmet] + words_in[unmet]]
        masked_size[words[masked_size[words] == 0][0]] = missing[unmet]

    is_chosen = np.arange(len(sequence)) - np.repeat(word_begin, word_size) < np.repeat(
        masked_size, word_size
    )
    return np.flatnonzero(is_chosen)


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
