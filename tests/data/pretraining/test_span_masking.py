"""Spans: their number of tokens, their words, their lengths, and what stands in their place."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clozekit import rng
from clozekit.data.pretraining.masking import MaskedTokens, mask_tokens
from clozekit.data.pretraining.pair_datamodule import PretrainingDataModule
from clozekit.data.pretraining.span_masking import choose_spans, span_length_distribution
from tests.data.pretraining.shards_of_words import VOCAB_SIZE, masking_rule

MASK = 4
SPANBERT = span_length_distribution(0.2, 10)
MEAN = 3.797
"""The mean length in words; Joshi et al. (2020), figure 2, have 3.8."""


def make(
    lengths: np.ndarray, every: int = 1, seed: int = 0, **more: object
) -> tuple[np.ndarray, np.ndarray, MaskedTokens]:
    """Masks spans of words, of which every `every`-th id begins one; gives the words' begins."""
    generator = np.random.default_rng(0)
    text = generator.integers(5, VOCAB_SIZE, lengths.sum())
    continues_word = np.arange(VOCAB_SIZE) % every != 0
    rule = masking_rule(continues_word=continues_word, **{"span_lengths": SPANBERT, **more})
    keys = rng.hash64(seed, 0, np.arange(len(lengths)))
    begins_word = ~continues_word[text]
    begins_word[np.append(0, np.cumsum(lengths.ravel())[:-1])] = True
    return text, begins_word, mask_tokens(text, lengths, keys, rule)


@given(
    st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40)), min_size=1, max_size=8),
    st.integers(1, 6),
    st.integers(0, 2**20),
    st.sampled_from([0.01, 0.15, 0.5, 0.99]),
)
def test_the_count_is_exact_and_words_are_whole(
    pairs: list[tuple[int, int]], every: int, seed: int, share: float
) -> None:
    lengths = np.array(pairs)
    text, begins_word, made = make(lengths, every, seed, masked_lm_prob=share)
    totals = lengths.sum(axis=1)
    owner = np.repeat(np.arange(len(pairs)), totals)
    chosen = np.zeros(len(text), bool)
    chosen[made.places] = True
    np.testing.assert_array_equal(
        np.bincount(owner, weights=chosen, minlength=len(pairs)),
        masking_rule(masked_lm_prob=share).num_targets(totals),
    )
    np.testing.assert_array_equal(made.labels, text[made.places])
    np.testing.assert_array_equal(made.input_ids[~chosen], text[~chosen])
    word = np.cumsum(begins_word) - 1
    of_word = np.bincount(word, weights=chosen)
    partly = (of_word > 0) & (of_word < np.bincount(word))
    per_sequence = np.bincount(owner[np.flatnonzero(begins_word)[partly]], minlength=len(pairs))
    assert per_sequence.max() <= 1, "at most one word a sequence is cut, to meet the count"


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(1, 30)), min_size=2, max_size=6),
    st.integers(0, 2**20),
)
def test_masks_of_a_sequence_do_not_depend_on_the_others(
    pairs: list[tuple[int, int]], seed: int
) -> None:
    lengths = np.array(pairs)
    text = np.random.default_rng(seed).integers(5, VOCAB_SIZE, lengths.sum())
    rule = masking_rule(continues_word=np.arange(VOCAB_SIZE) % 3 != 0, span_lengths=SPANBERT)
    keys = rng.hash64(seed, np.arange(len(pairs)))
    made = mask_tokens(text, lengths, keys, rule)
    ends = np.cumsum(lengths.sum(axis=1))
    for number, (end, size) in enumerate(zip(ends, lengths.sum(axis=1), strict=True)):
        part = slice(end - size, end)
        each = slice(number, number + 1)
        alone = mask_tokens(text[part], lengths[each], keys[each], rule)
        np.testing.assert_array_equal(alone.input_ids, made.input_ids[part])


def spans(num_sequences: int, length: int, num_targets: int) -> tuple[np.ndarray, np.ndarray]:
    """The first word and the length of each span, of words of one token in one segment."""
    size = num_sequences * length
    owner = np.repeat(np.arange(num_sequences), length)
    keys = rng.hash64(3, np.arange(size))
    places, begin = choose_spans(
        rng.extend(keys, 1),
        rng.extend(keys, 2),
        owner,
        owner,
        np.ones(size, bool),
        np.full(num_sequences, num_targets),
        SPANBERT,
    )
    firsts, counts = np.unique(begin, return_counts=True)
    np.testing.assert_array_equal(places, np.sort(places))
    return firsts, counts


def test_lengths_are_geometric_without_the_tail() -> None:
    probabilities = np.diff(SPANBERT, prepend=0)
    np.testing.assert_allclose(probabilities[1:] / probabilities[:-1], 0.8)
    assert SPANBERT[-1] == 1.0 and len(SPANBERT) == 10
    assert (probabilities * np.arange(1, 11)).sum() == pytest.approx(MEAN, abs=1e-3)
    # So long that the end, other spans and the count cut few.
    firsts, counts = spans(num_sequences=2, length=100_000, num_targets=2_000)
    assert counts.max() == 10
    error = counts.std() / np.sqrt(len(counts))
    assert abs(counts.mean() - MEAN) < 4 * error
    # They begin at uniform places.
    assert abs((firsts % 100_000).mean() / 100_000 - 0.5) < 4 / np.sqrt(12 * len(firsts))


def test_a_span_ends_with_its_segment() -> None:
    size = 400
    segment = np.arange(size) // 2
    keys = rng.hash64(3, np.arange(size))
    _, begin = choose_spans(
        *(rng.extend(keys, 1), rng.extend(keys, 2), np.zeros(size, np.int64), segment),
        *(np.ones(size, bool), np.array([100]), SPANBERT),
    )
    _, counts = np.unique(begin, return_counts=True)
    assert set(counts.tolist()) == {1, 2}


def test_a_span_is_replaced_as_a_whole() -> None:
    lengths = np.full((4000, 1), 200)
    text, _, made = make(lengths)
    seen = made.input_ids[made.places]
    kinds = np.where(seen == MASK, 0, np.where(seen == made.labels, 2, 1))
    # Neighbours are of the same span, or of two that touch, which is rare.
    neighbours = np.diff(made.places) == 1
    assert (kinds[1:] == kinds[:-1])[neighbours].mean() > 0.9
    # About 4000 · 30 tokens in spans: the error of a share is that of the number of spans.
    num_spans = len(made.places) / MEAN
    for kind, expected in enumerate((0.8, 0.1, 0.1)):
        error = 2 * np.sqrt(expected * (1 - expected) / num_spans)
        assert abs((kinds == kind).mean() - expected) < 4 * error
    # Replacements are drawn for each token.
    both = neighbours & (kinds[1:] == 1) & (kinds[:-1] == 1)
    assert (seen[1:] == seen[:-1])[both].mean() < 0.1
    assert text.size == 800_000


def test_validation_masks_single_tokens_whatever_training_does(corpus: Path) -> None:
    def module(**options: object) -> PretrainingDataModule:
        return PretrainingDataModule(
            path=corpus, seed=0, global_batch_size=8, micro_batch_size=8, **options
        )

    spans, tokens = module(span_mask=True), module()
    rule = spans.masking
    assert rule.span_lengths is not None and rule.continues_word is not None
    np.testing.assert_array_equal(rule.span_lengths, SPANBERT)
    assert tokens.masking.span_lengths is None and tokens.masking.continues_word is None
    for data in (spans, tokens):
        assert data.sources["validation"].masking.span_lengths is None  # type: ignore[attr-defined]
