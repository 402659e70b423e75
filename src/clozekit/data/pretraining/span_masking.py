"""The choice of spans of words, for masking (Joshi et al., 2020, section 3.1)."""

import numpy as np
from numpy.typing import NDArray

from clozekit import rng

Int64Array = NDArray[np.int64]


def span_length_distribution(geometric_p: float, longest: int) -> NDArray[np.float64]:
    """Returns the cumulative distribution of a span's number of words, `[longest]`.

    It is a geometric distribution without the lengths above `longest`: with 0.2 and 10, a span has
    3.8 words on average.
    """
    lengths = np.arange(longest)
    cumulative = np.cumsum(geometric_p * (1.0 - geometric_p) ** lengths)
    distribution: NDArray[np.float64] = cumulative / cumulative[-1]
    return distribution


def choose_spans(
    draws: NDArray[np.uint64],
    length_draws: NDArray[np.uint64],
    sequence: Int64Array,
    segment: Int64Array,
    begins_word: NDArray[np.bool_],
    num_targets: Int64Array,
    length_distribution: NDArray[np.float64],
) -> tuple[Int64Array, Int64Array]:
    """Chooses spans of whole words that begin at random words.

    A span ends early at the end of its segment, before a word that is chosen already, and before a
    word that is longer than the number of targets that are still missing. If no whole word fits any
    more, the first remaining word is masked partly, from its start. So the number of targets is
    always as computed by `MaskingRule.num_targets`.

    Args:
        draws: `[text_tokens]`. Random numbers that order the words.
        length_draws: `[text_tokens]`. Random numbers of the lengths of spans.
        sequence: `[text_tokens]`. The sequence of each token, ascending.
        segment: `[text_tokens]`. The segment of each token, ascending over all sequences.
        begins_word: `[text_tokens]`. Whether a token begins a word.
        num_targets: `[batch]`. The number of tokens to choose in each sequence.
        length_distribution: `[longest]`. See `span_length_distribution`.

    Returns:
        `[targets]`, ascending: the chosen tokens; and `[targets]`: the first token of the span of
        each.
    """
    word_begin = np.flatnonzero(begins_word)
    word_size = np.diff(np.append(word_begin, len(sequence)))
    word_sequence, word_segment = sequence[word_begin], segment[word_begin]
    span_size = 1 + np.searchsorted(
        length_distribution[:-1], rng.to_unit(length_draws[word_begin]), side="right"
    )
    by_draw = np.lexsort((draws[word_begin], word_sequence))
    words_in = np.bincount(word_sequence, minlength=len(num_targets))
    first_word = np.cumsum(words_in) - words_in

    missing = num_targets.copy()
    masked_size = np.zeros(len(word_begin), np.int64)
    span_begin = np.zeros(len(word_begin), np.int64)
    in_span = np.arange(len(length_distribution))
    for turn in range(int(words_in.max())):
        open_sequences = np.flatnonzero((missing > 0) & (turn < words_in))
        if not len(open_sequences):
            break
        begin = by_draw[first_word[open_sequences] + turn][:, np.newaxis]
        # [open sequences, longest]: the words that follow.
        words = np.minimum(begin + in_span, len(word_begin) - 1)
        sizes = word_size[words]
        is_taken = np.logical_and.accumulate(
            (begin + in_span < len(word_begin))
            & (in_span < span_size[begin])
            & (word_segment[words] == word_segment[begin])
            & (masked_size[words] == 0)
            & (sizes.cumsum(axis=1) <= missing[open_sequences][:, np.newaxis]),
            axis=1,
        )
        taken = words[is_taken]
        masked_size[taken] = word_size[taken]
        span_begin[taken] = np.broadcast_to(word_begin[begin], words.shape)[is_taken]
        missing[open_sequences] -= (sizes * is_taken).sum(axis=1)
    for unmet in np.flatnonzero(missing).tolist():
        ordered = by_draw[first_word[unmet] : first_word[unmet] + words_in[unmet]]
        word = ordered[masked_size[ordered] == 0][0]
        masked_size[word], span_begin[word] = missing[unmet], word_begin[word]

    place_in_word = np.arange(len(sequence)) - np.repeat(word_begin, word_size)
    places = np.flatnonzero(place_in_word < np.repeat(masked_size, word_size))
    return places, np.repeat(span_begin, word_size)[places]
