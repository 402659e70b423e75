"""Sequences are cut and laid out as `tokenizers` itself does it."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Encoding, Tokenizer

from clozekit.data.labelled.sequences import lay_out, token_ids, truncated, windows
from tests.data.spelling import CHARACTERS, sequence_format, spelling_tokenizer

# A busy machine is no failure.
with_few_examples = settings(deadline=None, max_examples=60)


def text_of(length: int, offset: int = 0) -> str:
    """So many words of one character, so that every place's token is another for a long while."""
    return " ".join(CHARACTERS[26 + (offset + place) % 36] for place in range(length))


def cut_by_tokenizers(max_seq_length: int, *lengths: int) -> Encoding:
    tokenizer = Tokenizer.from_str(spelling_tokenizer().to_str())
    tokenizer.enable_truncation(max_seq_length, strategy="longest_first")
    return tokenizer.encode(*(text_of(length, 7 * i) for i, length in enumerate(lengths)))


def cut_by_us(max_seq_length: int, *lengths: int) -> tuple[list[int], list[int], bool]:
    texts = [text_of(length, 7 * i) for i, length in enumerate(lengths)]
    first, *rest = token_ids(spelling_tokenizer(), texts)
    kept, was_cut = truncated(first, rest[0] if rest else None, max_seq_length, sequence_format())
    laid_out = lay_out([kept], sequence_format())
    assert laid_out.lengths.tolist() == [len(laid_out.input_ids)]
    return laid_out.input_ids.tolist(), laid_out.token_type_ids.tolist(), was_cut


def assert_the_same(max_seq_length: int, *lengths: int) -> None:
    expected = cut_by_tokenizers(max_seq_length, *lengths)
    ids, type_ids, was_cut = cut_by_us(max_seq_length, *lengths)
    assert (ids, type_ids) == (expected.ids, expected.type_ids), (max_seq_length, lengths)
    assert was_cut == bool(expected.overflowing), (max_seq_length, lengths)


@with_few_examples
@given(st.integers(8, 40), st.integers(0, 60))
def test_one_text_is_cut_as_by_tokenizers(max_seq_length: int, length: int) -> None:
    assert_the_same(max_seq_length, length)


@with_few_examples
@given(st.integers(8, 40), st.integers(0, 60), st.integers(0, 60))
def test_two_texts_are_cut_as_by_tokenizers(max_seq_length: int, a: int, b: int) -> None:
    assert_the_same(max_seq_length, a, b)


@pytest.mark.parametrize("max_seq_length", [8, 9])
def test_odd_and_even_room_is_shared_as_by_tokenizers_with_ties_too(max_seq_length: int) -> None:
    for a, b in product(range(8), repeat=2):
        assert_the_same(max_seq_length, a, b)


@with_few_examples
@given(st.lists(st.tuples(st.integers(0, 9), st.none() | st.integers(0, 9)), max_size=5))
def test_sequences_are_laid_out_as_by_the_tokenizers_template(
    pairs: list[tuple[int, int | None]],
) -> None:
    texts = [(text_of(a),) if b is None else (text_of(a), text_of(b, offset=3)) for a, b in pairs]
    segments = [token_ids(spelling_tokenizer(), segments) for segments in texts]
    laid_out = lay_out(segments, sequence_format())
    encodings = [spelling_tokenizer().encode(*segments) for segments in texts]
    assert laid_out.input_ids.tolist() == [i for e in encodings for i in e.ids]
    assert laid_out.token_type_ids.tolist() == [i for e in encodings for i in e.type_ids]
    assert laid_out.lengths.tolist() == [len(e.ids) for e in encodings]
    assert (laid_out.input_ids.dtype, laid_out.token_type_ids.dtype) == (np.int32, np.int8)


def doc_spans(length: int, size: int, stride: int) -> list[tuple[int, int]]:
    """The windows of google-research/bert's run_squad.py, in its words."""
    spans = []
    start_offset = 0
    while start_offset < length:
        span_length = min(length - start_offset, size)
        spans.append((start_offset, start_offset + span_length))
        if start_offset + span_length == length:
            break
        start_offset += min(span_length, stride)
    return spans


@with_few_examples
@given(st.integers(1, 200), st.integers(1, 50), st.integers(1, 60))
def test_windows_are_those_of_run_squad_and_cover_everything(
    length: int, size: int, stride: int
) -> None:
    pieces = windows(length, size, stride)
    assert pieces == doc_spans(length, size, stride)
    assert {place for begin, end in pieces for place in range(begin, end)} == set(range(length))
    assert max(end - begin for begin, end in pieces) <= size


def test_an_empty_text_has_one_window() -> None:
    assert windows(0, 5, 2) == [(0, 0)]
