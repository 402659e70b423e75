"""Pairs: half of them random, every sentence once, and nothing to be read off lengths."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from clozekit.data.pretraining.pairs import PairPlan, _excess, plan_pairs
from clozekit.data.pretraining.random_segments import exchange_partners
from tests.data.pretraining.shards_of_words import draw_offsets

documents_of_lengths = st.lists(
    st.lists(st.integers(1, 60), min_size=1, max_size=8), min_size=2, max_size=12
)


def offsets_of(documents: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    lengths = [length for document in documents for length in document]
    sizes = [len(document) for document in documents]
    return np.append(0, np.cumsum(lengths)), np.append(0, np.cumsum(sizes))


def plan(sentence_offsets: np.ndarray, document_offsets: np.ndarray, **changes) -> PairPlan:
    arguments = {"max_seq_length": 128, "short_seq_prob": 0.1, "key": (1, 0, 0), **changes}
    return plan_pairs(sentence_offsets, document_offsets, **arguments)


@pytest.fixture(scope="module")
def large() -> tuple[np.ndarray, np.ndarray, PairPlan]:
    sentences, documents = draw_offsets(num_documents=6000)
    made = plan(sentences, documents)
    assert len(made) > 10_000
    return sentences, documents, made


def owners(places: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    return np.searchsorted(offsets, places, side="right") - 1


@given(documents_of_lengths, st.integers(8, 64), st.integers(0, 2**20), st.integers(0, 3))
def test_every_sentence_stands_once_an_epoch(
    documents: list[list[int]], max_seq_length: int, seed: int, epoch: int
) -> None:
    sentences, offsets = offsets_of(documents)
    # A length that nothing exceeds shows the whole segments.
    whole = plan(sentences, offsets, max_seq_length=10_000, key=(seed, epoch, 0))
    covered = np.zeros(sentences[-1], int)
    for start, end in zip(
        np.append(whole.a_start, whole.b_start), np.append(whole.a_end, whole.b_end), strict=True
    ):
        covered[start:end] += 1
    alone = [(begin, end) for begin, end in pairwise(sentences) if not covered[begin:end].any()]
    assert covered.max(initial=0) <= 1
    assert len(alone) == whole.num_lone_sentences
    for begin, end in alone:
        assert (covered[begin:end] == 0).all()
        assert end in sentences[offsets], "only a document's last sentence is left out"


@given(documents_of_lengths, st.integers(8, 64), st.integers(0, 2**20))
def test_segments_fit_and_keep_their_documents(
    documents: list[list[int]], max_seq_length: int, seed: int
) -> None:
    sentences, offsets = offsets_of(documents)
    made = plan(sentences, offsets, max_seq_length=max_seq_length, key=(seed, 0, 0))
    token_documents = sentences[offsets]
    assert (made.a_end > made.a_start).all()
    assert (made.b_end > made.b_start).all()
    assert (made.num_text_tokens <= max_seq_length - 3).all()
    of_a, of_b = owners(made.a_start, token_documents), owners(made.b_start, token_documents)
    assert (owners(made.a_end - 1, token_documents) == of_a).all()
    assert (owners(made.b_end - 1, token_documents) == of_b).all()
    np.testing.assert_array_equal(made.next_sentence_label == 1, of_a != of_b)


def test_a_true_b_begins_where_a_ended() -> None:
    sentences, offsets = draw_offsets(500)
    made = plan(sentences, offsets, max_seq_length=100_000)
    is_true = made.next_sentence_label == 0
    np.testing.assert_array_equal(made.a_end[is_true], made.b_start[is_true])


def test_exactly_half_of_the_pairs_are_random(large: tuple) -> None:
    made = large[2]
    assert made.next_sentence_label.sum() == len(made) // 2


def test_lengths_do_not_betray_the_label(large: tuple) -> None:
    sentences, documents, _ = large
    train, held_out = (plan(sentences, documents, key=(1, epoch, 0)) for epoch in (0, 1))

    def features(made: PairPlan) -> np.ndarray:
        a, b = made.a_end - made.a_start, made.b_end - made.b_start
        return np.stack([a, b, a + b], axis=1)

    # A vote of the 25 nearest of 10,000 others in (A, B, total): it finds any smooth rule.
    known, asked = features(train)[:10_000], features(held_out)[:5_000]
    labels = train.next_sentence_label[:10_000]
    right = 0
    for begin in range(0, len(asked), 500):
        distance = np.abs(asked[begin : begin + 500, None] - known[None]).sum(axis=2)
        nearest = np.argpartition(distance, 25, axis=1)[:, :25]
        guess = labels[nearest].mean(axis=1) > 0.5
        right += (guess == held_out.next_sentence_label[begin : begin + 500]).sum()
    assert right / len(asked) < 0.52


def test_every_length_is_as_often_random_as_true(large: tuple) -> None:
    made = large[2]
    for length in (made.a_end - made.a_start, made.b_end - made.b_start, made.num_text_tokens):
        for low, high in zip(
            *(np.quantile(length, np.linspace(0, 1, 9))[s] for s in (slice(8), slice(1, 9))),
            strict=True,
        ):
            inside = (length >= low) & (length <= high)
            share, count = made.next_sentence_label[inside].mean(), inside.sum()
            assert abs(share - 0.5) < 4.5 * 0.5 / np.sqrt(count)


def test_pairs_of_two_epochs_differ(large: tuple) -> None:
    sentences, documents, first = large
    second = plan(sentences, documents, key=(1, 1, 0))
    both = np.intersect1d(first.first_sentence, second.first_sentence)
    splits = [made.a_end[np.isin(made.first_sentence, both)] for made in (first, second)]
    assert (splits[0] != splits[1]).mean() > 0.5


def test_a_tenth_of_the_targets_is_short_and_uniform() -> None:
    # Of sentences of one token, a true pair has just its target's length.
    made = plan(*offsets_of([[1] * 1_000_000] * 2))
    lengths = made.num_text_tokens[made.next_sentence_label == 0]
    is_short = lengths < 125
    assert abs(is_short.mean() - 0.1 * 123 / 124) < 4.5 * np.sqrt(0.09 / len(lengths))
    short = lengths[is_short]
    assert short.min() == 2
    assert abs(short.mean() - 63) < 4.5 * 36 / np.sqrt(len(short))


def test_a_chunk_of_one_sentence_takes_the_next_along() -> None:
    made = plan(*offsets_of([[200, 5], [300, 7], [10]]), max_seq_length=64)
    assert made.first_sentence.tolist() == [0, 2]
    assert made.num_lone_sentences == 1


@given(st.integers(1, 90), st.integers(1, 90), st.integers(2, 60))
def test_truncation_is_the_references(a: int, b: int, budget: int) -> None:
    # truncate_seq_pair of create_pretraining_data.py in google-research/bert.
    expected_a, expected_b = a, b
    while expected_a + expected_b > budget:
        if expected_a > expected_b:
            expected_a -= 1
        else:
            expected_b -= 1
    cut_a, cut_b = _excess(np.array([a]), np.array([b]), budget)
    assert (a - cut_a[0], b - cut_b[0]) == (expected_a, expected_b)


def test_truncation_takes_either_end() -> None:
    made = plan(*offsets_of([[500, 500]] * 2000), max_seq_length=128)
    places = made.a_start % 1000
    assert places.min() > 150
    assert places.max() < 290
    assert places.mean() == pytest.approx((500 - 63) / 2, abs=2)


@given(
    st.lists(st.tuples(st.integers(1, 40), st.integers(0, 5)), min_size=1, max_size=200),
    st.integers(0, 2**20),
)
def test_an_exchange_is_a_permutation_between_documents(
    pairs: list[tuple[int, int]], seed: int
) -> None:
    lengths = np.array([length for length, _ in pairs])
    documents = np.array([document for _, document in pairs])
    owner = exchange_partners(lengths, documents, np.arange(len(pairs)), key=(seed, 0, 0))
    assert sorted(owner) == list(range(len(pairs)))
    moved = owner != np.arange(len(pairs))
    assert (documents[owner[moved]] != documents[moved]).all()
    assert moved.sum() <= len(pairs) // 2


def test_a_shard_of_one_long_and_many_short_documents_still_exchanges() -> None:
    lengths = np.random.default_rng(0).integers(20, 80, 4000)
    documents = np.where(np.arange(4000) < 1800, 0, np.arange(4000))
    owner = exchange_partners(lengths, documents, np.arange(4000), key=(3, 0, 0))
    moved = owner != np.arange(4000)
    assert moved.sum() > 0.47 * 4000
    assert np.abs(lengths[owner] - lengths)[moved].mean() < 1.5


def test_two_documents_of_very_unequal_size_leave_pairs_true_rather_than_wrong() -> None:
    documents = np.array([0] * 300 + [1] * 20)
    owner = exchange_partners(np.full(320, 30), documents, np.arange(320), key=(0, 0, 0))
    moved = owner != np.arange(320)
    assert (documents[owner[moved]] != documents[moved]).all()
    assert 0 < moved.sum() <= 40


@given(documents_of_lengths, st.integers(0, 2**20), st.integers(0, 3))
def test_sentence_order_swaps_half_of_the_pairs(
    documents: list[list[int]], seed: int, epoch: int
) -> None:
    sentences, offsets = offsets_of(documents)
    changes = {"max_seq_length": 10_000, "key": (seed, epoch, 0)}
    made = plan(sentences, offsets, objective="sentence_order", **changes)
    swapped = made.next_sentence_label == 1
    assert swapped.sum() == len(made) // 2
    np.testing.assert_array_equal(made.a_end[~swapped], made.b_start[~swapped])
    np.testing.assert_array_equal(made.b_end[swapped], made.a_start[swapped])
    documents_of = [owners(start, sentences[offsets]) for start in (made.a_start, made.b_start)]
    np.testing.assert_array_equal(*documents_of)
    covered = np.zeros(sentences[-1], int)
    first, last = np.minimum(made.a_start, made.b_start), np.maximum(made.a_end, made.b_end)
    for start, end in zip(first, last, strict=True):
        covered[start:end] += 1
    assert covered.max(initial=0) <= 1
    alone = sum(not covered[begin:end].any() for begin, end in pairwise(sentences))
    assert alone == made.num_lone_sentences
    np.testing.assert_array_equal(sentences[made.first_sentence], first)


@pytest.mark.parametrize("max_seq_length", [64, 65])
def test_lengths_do_not_reveal_whether_a_pair_is_swapped(max_seq_length: int) -> None:
    sentences, offsets = draw_offsets(num_documents=4000)
    made = plan(sentences, offsets, max_seq_length=max_seq_length, objective="sentence_order")
    swapped = made.next_sentence_label == 1
    a, b = made.a_end - made.a_start, made.b_end - made.b_start
    for lengths in (a, b, a - b):
        one, other = lengths[swapped], lengths[~swapped]
        spread = np.sqrt(one.var() / len(one) + other.var() / len(other))
        assert abs(one.mean() - other.mean()) < 4 * spread
    assert len(np.unique(a + b)) > 1
