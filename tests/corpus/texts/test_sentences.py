"""Splitting documents into sentences: nothing is lost, and one quote does not join thousands."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clozekit.corpus.texts.sentences import LONGEST, split_sentences

TEXTS = st.text(st.sampled_from("ab .?!'\"()\n“”«»é日。😀1"), max_size=200)
FILLER = [f"Sentence number {n} says nothing of interest." for n in range(200)]


def without_whitespace(text: str) -> str:
    return "".join(text.split())


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("Then ': ' will be added.", "It was taken from' the table."),
        ('He wrote "x.', 'Then he wrote y".'),
        ("If p (say is odd.", "then 1) is true."),
        ("She said “no.", "And then ”yes."),
    ],
)
def test_a_quote_or_bracket_does_not_join_what_is_far_apart(before: str, after: str) -> None:
    found = split_sentences("\n".join([before, *FILLER, after]), "split", "en")
    assert max(map(len, found)) < 100
    assert all(sentence in found for sentence in FILLER[1:])


def test_a_pair_within_a_sentence_is_kept_together() -> None:
    text = 'He said "Go. Now." to her (why? who knows.) and left. She stayed.'
    assert split_sentences(text, "split", "en")[-1] == "She stayed."
    assert len(split_sentences(text, "split", "en")) <= 3


@given(TEXTS, st.sampled_from(["en", "de", "ja", "hi"]))
def test_no_character_is_lost(text: str, language: str) -> None:
    long = text + "a" * LONGEST + text
    for document in (text, long):
        found = split_sentences(document, "split", language)
        assert without_whitespace("".join(found)) == without_whitespace(document)
