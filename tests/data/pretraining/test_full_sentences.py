"""Whole sentences packed to a length: nothing lost, nothing twice, nothing across documents."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from clozekit.corpus.shards import Shard
from clozekit.data.order import Span
from clozekit.data.pretraining.full_sentences import FullSentencesPlan, plan_full_sentences
from tests.data.pretraining.shards_of_words import (
    SPECIAL_TOKENS,
    draw_offsets,
    full_sentences_of,
    write_words,
)

documents_of_lengths = st.lists(
    st.lists(st.integers(0, 60), max_size=8), min_size=1, max_size=12
).filter(lambda documents: any(map(sum, documents)))


def offsets_of(documents: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    lengths = [length for document in documents for length in document]
    sizes = [len(document) for document in documents]
    return np.append(0, np.cumsum(lengths)), np.append(0, np.cumsum(sizes))


def plan(
    sentence_offsets: np.ndarray, document_offsets: np.ndarray, **changes
) -> FullSentencesPlan:
    arguments = {"max_seq_length": 128, "short_seq_prob": 0.1, "key": (1, 0, 0), **changes}
    return plan_full_sentences(sentence_offsets, document_offsets, **arguments)


def sample_lengths(made: FullSentencesPlan) -> np.ndarray:
    """The tokens of every sample, special ones included."""
    return np.add.reduceat(made.num_text_tokens + 2, made.first_sequence[:-1])


@given(
    documents_of_lengths,
    st.integers(8, 64),
    st.floats(0, 1),
    st.integers(0, 2**20),
    st.integers(0, 3),
)
@example([[], [200], [0, 1], []], 8, 0.0, 0, 0)
def test_every_token_stands_once_an_epoch_in_samples_that_fit(
    documents: list[list[int]], max_seq_length: int, short: float, seed: int, epoch: int
) -> None:
    sentences, offsets = offsets_of(documents)
    made = plan(
        sentences,
        offsets,
        max_seq_length=max_seq_length,
        short_seq_prob=short,
        key=(seed, epoch, 0),
    )
    covered = np.zeros(sentences[-1], int)
    for start, end in zip(made.start, made.end, strict=True):
        covered[start:end] += 1
    assert (covered == 1).all()
    assert (made.num_text_tokens > 0).all()
    assert (sample_lengths(made) <= max_seq_length).all()
    assert made.first_sequence[0] == 0 and made.first_sequence[-1] == len(made.start)
    assert (np.diff(made.first_sequence) > 0).all()


@given(documents_of_lengths, st.integers(8, 64), st.integers(0, 2**20))
def test_a_sequence_is_of_one_document_and_a_document_once_in_a_sample(
    documents: list[list[int]], max_seq_length: int, seed: int
) -> None:
    sentences, offsets = offsets_of(documents)
    made = plan(sentences, offsets, max_seq_length=max_seq_length, key=(seed, 0, 0))
    ends_of_documents = sentences[offsets[1:]]
    first = np.searchsorted(ends_of_documents, made.start, side="right")
    last = np.searchsorted(ends_of_documents, made.end - 1, side="right")
    np.testing.assert_array_equal(first, last)
    for begin, end in pairwise(made.first_sequence.tolist()):
        assert len(set(first[begin:end].tolist())) == end - begin


@given(documents_of_lengths, st.integers(8, 64), st.integers(0, 2**20))
def test_sentences_stay_whole_unless_they_are_longer_than_a_sequence(
    documents: list[list[int]], max_seq_length: int, seed: int
) -> None:
    sentences, offsets = offsets_of(documents)
    made = plan(sentences, offsets, max_seq_length=max_seq_length, key=(seed, 0, 0))
    cut_within = set()
    for start in made.start.tolist():
        sentence = int(np.searchsorted(sentences, start, side="right")) - 1
        if sentences[sentence] != start:
            cut_within.add(sentence)
            assert (start - sentences[sentence]) % (max_seq_length - 2) == 0
    lengths = np.diff(sentences)
    too_long = set(np.flatnonzero(lengths > max_seq_length - 2).tolist())
    assert cut_within == too_long
    assert made.num_cut_sentences == len(too_long)


@given(documents_of_lengths, st.integers(8, 64), st.integers(0, 2**20))
def test_a_sample_takes_all_that_fits(
    documents: list[list[int]], max_seq_length: int, seed: int
) -> None:
    sentences, offsets = offsets_of(documents)
    made = plan(
        sentences,
        offsets,
        max_seq_length=max_seq_length,
        short_seq_prob=0,
        key=(seed, 0, 0),
    )
    ends_of_documents = sentences[offsets[1:]]
    lengths = sample_lengths(made)
    for sample in range(len(made) - 1):
        next_start = int(made.start[made.first_sequence[sample + 1]])
        sentence = int(np.searchsorted(sentences, next_start, side="right")) - 1
        piece = min(int(sentences[sentence + 1]) - next_start, max_seq_length - 2)
        last_end = int(made.end[made.first_sequence[sample + 1] - 1])
        goes_on = last_end == next_start and last_end not in ends_of_documents
        assert lengths[sample] + piece + (0 if goes_on else 2) > max_seq_length


def test_samples_are_full_whatever_the_documents_are() -> None:
    for mean_sentences in (2, 12, 300):
        offsets = draw_offsets(60_000 // mean_sentences, mean_sentences=mean_sentences)
        made = plan(*offsets, max_seq_length=512, short_seq_prob=0.0)
        # What is missing is half a sentence in the mean, of 28 tokens with a long tail.
        assert sample_lengths(made)[:-1].mean() > 0.93 * 512


def test_every_epoch_has_an_order_and_cuts_of_its_own() -> None:
    sentences, documents = draw_offsets(200, mean_sentences=300)
    first, second = (
        plan(sentences, documents, max_seq_length=512, key=(1, epoch, 0)) for epoch in (0, 1)
    )
    begin_samples = [set(made.start[made.first_sequence[:-1]].tolist()) for made in (first, second)]
    assert len(begin_samples[0] & begin_samples[1]) < 0.3 * len(begin_samples[0])
    assert first.start[0] != second.start[0]
    again = plan(sentences, documents, max_seq_length=512, key=(1, 0, 0))
    np.testing.assert_array_equal(again.start, first.start)


def test_short_samples_are_as_many_as_asked_and_uniform() -> None:
    # Of sentences of one token, a sample has just its target's length.
    made = plan(*offsets_of([[1] * 2_000_000]))
    lengths = sample_lengths(made)[:-1]
    is_short = lengths < 128
    assert abs(is_short.mean() - 0.1 * 125 / 126) < 4.5 * np.sqrt(0.09 / len(lengths))
    assert lengths.min() == 3
    assert abs(lengths[is_short].mean() - 65) < 4.5 * 36 / np.sqrt(is_short.sum())


@pytest.mark.parametrize("whole_words", [False, True])
def test_a_batch_is_cls_text_sep_with_a_share_of_every_sequence_masked(
    whole_words: bool, tmp_path: Path
) -> None:
    path = write_words(tmp_path / "train-00000.arrow", 60, mean_sentences=4)
    changes = {"continues_word": np.arange(1000) % 3 == 0} if whole_words else {}
    source = full_sentences_of([path], max_seq_length=96, max_predictions_per_seq=9, **changes)
    made, tokens = source.plan(2, 0), Shard.open(path).tokens
    samples = np.array([5, 0, 3])
    batch = source.build([Span(2, 0, samples)], is_training=False)
    sequences = np.concatenate(
        [np.arange(made.first_sequence[s], made.first_sequence[s + 1]) for s in samples]
    )
    assert len(sequences) > len(samples), "samples lie across documents"
    assert batch.batch_size == len(sequences)
    assert batch.sample_ids.tolist() == [[2, 0, int(made.start[s])] for s in sequences]
    assert not batch.token_type_ids.any()

    restored = batch.input_ids.clone()
    restored[batch.masked_lm_positions] = batch.masked_lm_labels
    bounds = batch.packing.cu_seqlens.tolist()
    for sequence, (begin, end) in zip(sequences.tolist(), pairwise(bounds), strict=True):
        text = tokens[made.start[sequence] : made.end[sequence]].tolist()
        assert restored[begin:end].tolist() == [SPECIAL_TOKENS.cls, *text, SPECIAL_TOKENS.sep]
        assert batch.packing.position_ids[begin:end].tolist() == list(range(end - begin))
        positions = batch.masked_lm_positions
        masked = positions[(positions >= begin) & (positions < end)]
        assert begin not in masked and end - 1 not in masked
        assert len(masked) == min(max(1, round(0.15 * len(text))), 9)
