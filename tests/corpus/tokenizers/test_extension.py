"""New pieces for existing tokenizers."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from clozekit.corpus.tokenizers.extension import PieceCounter, check_extensible, extended
from clozekit.errors import DataError
from tests.kinds_of_tokenizers import KINDS, tokenizer_of

NEW = [
    "The cardiomyopathy of the horse.",
    "A cardiomyopathy, cardiologist and myopathy.",
    "über crêpes",
]
_made: dict[str, Tokenizer] = {}


def extended_of(kind: str) -> Tokenizer:
    if kind not in _made:
        base = Tokenizer.from_str(tokenizer_of(kind).to_str())
        counts = PieceCounter(base)(pa.array(NEW * 4), np.ones(len(NEW) * 4, bool))
        _made[kind] = extended(tokenizer_of(kind), counts, 12)
    return _made[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_new_pieces_follow_all_others_and_are_used(kind: str) -> None:
    old, new = tokenizer_of(kind), extended_of(kind)
    before, now = old.get_vocab(), new.get_vocab()
    assert {token: now.get(token) for token in before} == before
    first = max(before.values()) + 1
    assert sorted(now.values())[-12:] == list(range(first, first + 12))
    text = "A cardiomyopathy"
    assert len(new.encode(text).ids) < len(old.encode(text).ids)
    assert new.decode(new.encode(text).ids) == old.decode(old.encode(text).ids)
    assert [t.content for t in old.get_added_tokens_decoder().values()] == [
        t.content for t in new.get_added_tokens_decoder().values()
    ]


TEXTS = st.lists(
    st.sampled_from([*" ".join(NEW).split(), "old", "field", "(at", "noon)", "北京", "cardio", "x"])
    | st.text("cardiomyopathy ü,", max_size=8),
    max_size=6,
).map(" ".join)


@pytest.mark.parametrize("kind", KINDS)
@given(TEXTS)
def test_a_text_without_new_pieces_is_encoded_as_before(kind: str, text: str) -> None:
    old, new = tokenizer_of(kind), extended_of(kind)
    first = max(old.get_vocab().values()) + 1
    before, now = old.encode(text), new.encode(text)
    if max(now.ids) < first:
        assert (now.ids, now.offsets, now.type_ids) == (before.ids, before.offsets, before.type_ids)


def test_there_are_no_more_pieces_than_the_text_has() -> None:
    base = Tokenizer.from_str(tokenizer_of("modernbert").to_str())
    counts = PieceCounter(base)(pa.array(["The xyz xyz"]), np.ones(1, bool))
    made = extended(base, counts, 500)
    new = made.get_vocab().keys() - base.get_vocab().keys()
    # A word of n bytes is whole after n - 1 merges.
    assert "Ġxyz" in new
    assert len(new) == 3


def test_other_models_are_refused() -> None:
    with pytest.raises(DataError, match=r"tokenizer.base=it is a WordLevel tokenizer; only"):
        check_extensible(Tokenizer(WordLevel({"a": 0})), "it")
