"""Masks: how many, which, what stands in their place, and on what they depend."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clozekit import rng
from clozekit.data.pretraining.masking import MaskedTokens, MaskingRule, mask_tokens
from tests.data.pretraining.shards_of_words import (
    REPLACEMENTS,
    VOCAB_SIZE,
    masking_rule,
    source_of,
    write_words,
)

MASK = 4
NUM_PAIRS = 10_000


def make(
    lengths: np.ndarray, rule: MaskingRule, seed: int = 0, epoch: int = 0
) -> tuple[np.ndarray, MaskedTokens]:
    generator = np.random.default_rng(0)
    text = generator.integers(5, VOCAB_SIZE, lengths.sum())
    keys = rng.hash64(seed, epoch, np.arange(len(lengths)))
    return text, mask_tokens(text, lengths, keys, rule)


@pytest.fixture(scope="module")
def lengths() -> np.ndarray:
    return np.random.default_rng(1).integers(5, 63, (NUM_PAIRS, 2))


@pytest.fixture(scope="module")
def masked(lengths: np.ndarray) -> tuple[np.ndarray, MaskedTokens]:
    return make(lengths, masking_rule())


def test_fifteen_percent_of_every_sequence_is_chosen(lengths: np.ndarray, masked: tuple) -> None:
    text, made = masked
    ends = np.cumsum(lengths.sum(axis=1))
    chosen = np.bincount(np.searchsorted(ends, made.places, side="right"), minlength=NUM_PAIRS)
    np.testing.assert_array_equal(chosen, np.rint(0.15 * lengths.sum(axis=1)).clip(1))
    assert len(made.places) / len(text) == pytest.approx(0.15, abs=0.001)
    np.testing.assert_array_equal(made.labels, text[made.places])


@pytest.mark.parametrize("shape", [(1, 2**16 + 1), (2**16 + 1, 1)])
def test_very_long_sequences_and_very_large_batches(shape: tuple[int, int]) -> None:
    lengths = np.full((shape[0], 1), shape[1])
    text, made = make(lengths, masking_rule())
    num_targets = masking_rule().num_targets(lengths.sum(axis=1))
    ends = np.cumsum(lengths.sum(axis=1))
    chosen = np.bincount(np.searchsorted(ends, made.places, side="right"), minlength=shape[0])
    np.testing.assert_array_equal(chosen, num_targets)
    assert len(np.unique(made.places)) == num_targets.sum()
    np.testing.assert_array_equal(made.labels, text[made.places])
    assert made.places.max() > 0.9 * len(text)


@pytest.mark.parametrize("longest", [10, 2**16])
def test_a_short_sequence_is_masked_alike_beside_a_very_long_one(longest: int) -> None:
    lengths = np.array([[50], [longest + 1]])
    _, alone = make(lengths[:1], masking_rule())
    _, beside = make(lengths, masking_rule())
    np.testing.assert_array_equal(beside.places[beside.places < 50], alone.places)


def test_eighty_ten_ten(masked: tuple) -> None:
    text, made = masked
    seen = made.input_ids[made.places]
    count = len(seen)
    for share, expected in (
        ((seen == MASK).mean(), 0.8),
        (((seen != MASK) & (seen != made.labels)).mean(), 0.1),
        ((seen == made.labels).mean(), 0.1),
    ):
        assert abs(share - expected) < 4.5 * np.sqrt(expected * (1 - expected) / count)
    untouched = np.ones(len(text), bool)
    untouched[made.places] = False
    np.testing.assert_array_equal(made.input_ids[untouched], text[untouched])


def test_replacements_are_uniform_and_never_the_token_itself(masked: tuple) -> None:
    _, made = masked
    seen = made.input_ids[made.places]
    replacements = seen[(seen != MASK) & (seen != made.labels)]
    counts = np.bincount(replacements, minlength=VOCAB_SIZE)
    assert counts[:5].sum() == 0
    expected = len(replacements) / len(REPLACEMENTS)
    chi_square = ((counts[5:] - expected) ** 2 / expected).sum()
    freedom = len(REPLACEMENTS) - 1
    assert abs(chi_square - freedom) < 5 * np.sqrt(2 * freedom)


def test_with_two_candidates_the_other_one_is_taken() -> None:
    rule = MaskingRule(MASK, np.array([5, 6]), mask_token_prob=0.0, random_token_prob=1.0)
    text = np.array([5, 6, 1] * 50)
    made = mask_tokens(text, np.array([[100, 50]]), rng.hash64(0, np.array([1])), rule)
    replaced = made.input_ids[made.places]
    np.testing.assert_array_equal(replaced[made.labels == 5], 6)
    np.testing.assert_array_equal(replaced[made.labels == 6], 5)
    assert set(replaced[made.labels == 1]) <= {5, 6}, "[UNK] may be a target"


def test_every_place_is_equally_likely(lengths: np.ndarray) -> None:
    same = np.full((NUM_PAIRS, 2), (25, 25))
    _, made = make(same, masking_rule())
    counts = np.bincount(made.places % 50, minlength=50)
    expected = len(made.places) / 50
    chi_square = ((counts - expected) ** 2 / expected).sum()
    assert chi_square < 49 + 5 * np.sqrt(2 * 49)


def test_masks_of_two_epochs_overlap_by_chance_alone(lengths: np.ndarray, masked: tuple) -> None:
    text, first = masked
    _, second = make(lengths, masking_rule(), epoch=1)
    share = len(first.places) / len(text)
    overlap = len(np.intersect1d(first.places, second.places)) / len(first.places)
    assert abs(overlap - share) < 5 * np.sqrt(share * (1 - share) / len(first.places))


def test_a_sequence_is_masked_the_same_in_any_batch(lengths: np.ndarray, masked: tuple) -> None:
    text, together = masked
    ends = np.cumsum(lengths.sum(axis=1))
    for rule in (masking_rule(), masking_rule(continues_word=np.arange(VOCAB_SIZE) % 3 == 0)):
        together = mask_tokens(text, lengths, rng.hash64(0, 0, np.arange(NUM_PAIRS)), rule)
        for pair in (0, 17, 4321, NUM_PAIRS - 1):
            part = slice(ends[pair] - lengths[pair].sum(), ends[pair])
            alone = mask_tokens(
                text[part], lengths[pair : pair + 1], rng.hash64(0, 0, np.array([pair])), rule
            )
            np.testing.assert_array_equal(alone.input_ids, together.input_ids[part])


def test_mask_and_label_are_independent(tmp_path: Path) -> None:
    source = source_of([write_words(tmp_path / "train-00000.arrow", 6000)])
    plan = source.plan(0, 0)
    assert len(plan) > NUM_PAIRS
    from clozekit.data.order import Span

    batch = source.build([Span(0, 0, np.arange(NUM_PAIRS))], is_training=False)
    owner = np.searchsorted(
        batch.packing.cu_seqlens.numpy()[1:], batch.masked_lm_positions.numpy(), side="right"
    )
    in_b = batch.token_type_ids.numpy()[batch.masked_lm_positions.numpy()] == 1
    is_random = batch.next_sentence_label.numpy() == 1
    text = plan.num_text_tokens[:NUM_PAIRS]
    b_share = (plan.b_end - plan.b_start)[:NUM_PAIRS] / text
    masked = np.bincount(owner, minlength=NUM_PAIRS)
    masked_in_b = np.bincount(owner, weights=in_b, minlength=NUM_PAIRS)
    for rate in (masked / text, masked_in_b / masked - b_share):
        difference = rate[is_random].mean() - rate[~is_random].mean()
        error = rate.std() * np.sqrt(1 / is_random.sum() + 1 / (~is_random).sum())
        assert abs(difference) < 4.5 * error


def test_max_predictions_per_seq_is_a_ceiling() -> None:
    rule = masking_rule(max_predictions_per_seq=20)
    assert rule.num_targets(np.array([1, 3, 10, 100, 125, 1000])).tolist() == [1, 1, 2, 15, 19, 20]


@given(
    st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40)), min_size=1, max_size=8),
    st.integers(1, 6),
    st.integers(0, 2**20),
)
def test_whole_words_are_masked_whole_and_the_count_holds(
    pairs: list[tuple[int, int]], every: int, seed: int
) -> None:
    lengths = np.array(pairs)
    continues_word = np.arange(VOCAB_SIZE) % every != 0
    rule = masking_rule(continues_word=continues_word)
    text, made = make(lengths, rule, seed)
    totals = lengths.sum(axis=1)
    owner = np.repeat(np.arange(len(pairs)), totals)
    chosen = np.zeros(len(text), bool)
    chosen[made.places] = True
    np.testing.assert_array_equal(
        np.bincount(owner, weights=chosen, minlength=len(pairs)), rule.num_targets(totals)
    )
    begins_word = ~continues_word[text]
    begins_word[np.append(0, np.cumsum(lengths.ravel())[:-1])] = True
    word = np.cumsum(begins_word) - 1
    size = np.bincount(word)
    of_word = np.bincount(word, weights=chosen)
    partly = (of_word > 0) & (of_word < size)
    per_sequence = np.bincount(owner[np.flatnonzero(begins_word)[partly]], minlength=len(pairs))
    assert per_sequence.max() <= 1, "at most one word a sequence is cut, to meet the count"


def test_whole_words_are_cut_only_where_no_whole_word_fits() -> None:
    continues_word = np.zeros(VOCAB_SIZE, bool)
    continues_word[500:] = True
    # Words of three tokens, and a count of two.
    text = np.array([10, 600, 601] * 5)
    keys = rng.hash64(0, np.arange(1))
    made = mask_tokens(text, np.array([[9, 6]]), keys, masking_rule(continues_word=continues_word))
    assert len(made.places) == 2
    assert made.places[0] % 3 == 0
    assert made.places[1] == made.places[0] + 1
