"""Sequences are made as the tokenizer's own post-processor makes them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, processors

from clozekit.data.labelled.sequences import lay_out, token_ids, truncated
from clozekit.data.sequence_format import SequenceFormat
from clozekit.errors import DataError
from tests.kinds_of_tokenizers import KINDS, NAMES, reference, tokenizer_of

TEXTS = st.text("abTheorsü,.'()12 \n", max_size=30)


@pytest.mark.parametrize("kind", KINDS)
@given(TEXTS, st.none() | TEXTS.filter(bool), st.integers(8, 24))
def test_a_sequence_is_that_of_transformers(
    kind: str, text: str, pair: str | None, length: int
) -> None:
    tokenizer = tokenizer_of(kind)
    special = SequenceFormat.of(tokenizer)
    ids = token_ids(tokenizer, [text] if pair is None else [text, pair])
    kept, was_cut = truncated(ids[0], ids[1] if ids[1:] else None, length, special)
    made = lay_out([kept], special)
    expected = reference(kind)(text, pair, truncation="longest_first", max_length=length)
    assert made.input_ids.tolist() == expected["input_ids"]
    whole = reference(kind)(text, pair)["input_ids"]
    assert was_cut == (len(whole) > length)
    num_first = len(special.around_two[0]) + len(kept[0])
    types = made.token_type_ids
    assert not types[:num_first].any()
    if pair is not None:
        assert types[-len(special.around_two[2]) - len(kept[1]) :].all()


def test_the_pairs_of_roberta_have_two_separators() -> None:
    special = SequenceFormat.of(tokenizer_of("roberta"))
    sep = tokenizer_of("roberta").token_to_id(NAMES["roberta"]["sep"])
    assert special.around_two[1].tolist() == [sep, sep]
    assert (special.num_special_tokens(1), special.num_special_tokens(2)) == (2, 4)
    assert special.type_ids(np.array([[2, 1]])).tolist() == [0, 0, 0, 0, 0, 1, 1]


def test_a_format_without_special_tokens_before_a_text_is_refused() -> None:
    tokenizer = Tokenizer.from_str(tokenizer_of("xlmr").to_str())
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 3)]
    )
    with pytest.raises(DataError, match=r"puts its special tokens as .* around 1 texts"):
        SequenceFormat.of(tokenizer)
