"""Words in encoded text, by what each kind of tokenizer says of its tokens."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.models import BPE

from clozekit.corpus.tokenizers.word_cache import Encoder, first_sentences
from clozekit.corpus.tokenizers.word_marks import needs_space_before, word_marks
from clozekit.errors import DataError
from tests.kinds_of_tokenizers import KINDS, tokenizer_of

WORDS = [
    *("The", "old", "horse", ",", "and", "the", "café", "(", "at", "noon", ")", "-"),
    *("12345", ";", "it", "'", "s", "far", "über"),
]
TEXTS = ["The old horse, and the café (at noon) - 12345; it's far über"]


def words_of(tokenizer: Tokenizer, text: str) -> list[list[int]]:
    marks = word_marks(tokenizer)
    words: list[list[int]] = []
    before = None
    for token in tokenizer.encode(text, add_special_tokens=False).ids:
        ended = before is None or (marks.ends is not None and marks.ends[before])
        if ended or not marks.continues[token]:
            words.append([])
        words[-1].append(token)
        before = token
    return words


@pytest.mark.parametrize("kind", KINDS)
def test_words_are_found_whatever_the_kind(kind: str) -> None:
    tokenizer = tokenizer_of(kind)
    text, expected = TEXTS[0], WORDS
    if kind == "gemma":  # it has tokens of punctuation with letters
        text, expected = (
            "The old horse and the café - über",
            ["The", "old", "horse", "and", "the", "café", "-", "über"],
        )
    found = [tokenizer.decode(w, skip_special_tokens=False) for w in words_of(tokenizer, text)]
    plain = [word.strip().replace("##", "") for word in found]
    if kind == "wordpiece":
        expected = [word.lower().replace("é", "e").replace("ü", "u") for word in expected]
    if kind in ("modernbert", "roberta"):  # as in GPT-2, 's is one part of a text
        expected = [word for word in expected if word != "s"]
        plain = ["'" if word == "'s" else word for word in plain]
    assert [word for word in plain if word] == expected


def test_a_suffix_for_the_end_of_a_word_is_a_mark() -> None:
    vocabulary = {"a": 0, "b</w>": 1, "ab</w>": 2, "<s>": 3}
    tokenizer = Tokenizer(BPE(vocabulary, [("a", "b</w>")], end_of_word_suffix="</w>"))
    marks = word_marks(tokenizer)
    assert marks.ends is not None
    assert marks.ends.tolist() == [False, True, True, False]
    with pytest.raises(DataError, match="does not mark where words begin"):
        word_marks(Tokenizer(BPE({"a": 0}, [])))


def test_only_some_tokenizers_tell_a_word_after_a_space_from_the_word_alone() -> None:
    found = {kind: needs_space_before(tokenizer_of(kind)) for kind in KINDS}
    assert found == {
        "wordpiece": False,
        "modernbert": True,
        "roberta": True,
        "xlmr": False,
        "gemma": True,
    }


LETTERS = st.text("abTheorsü,.'()12 ", min_size=1, max_size=12)


@pytest.mark.parametrize("kind", KINDS)
@given(st.lists(st.lists(LETTERS, min_size=1, max_size=4), min_size=1, max_size=3))
def test_the_sentences_of_a_document_are_encoded_as_running_text(
    kind: str, documents: list[list[str]]
) -> None:
    documents = [[" ".join(s.split()) or "a" for s in document] for document in documents]
    tokenizer = Tokenizer.from_str(tokenizer_of(kind).to_str())
    lengths = pa.array(list(map(len, documents))).to_numpy()
    flat = pa.array([sentence for document in documents for sentence in document])
    tokens, offsets = Encoder(tokenizer).encode(flat, first_sentences(lengths))
    begin = 0
    for document in documents:
        end = begin + len(document)
        whole = tokenizer.encode(" ".join(document), add_special_tokens=False).ids
        assert tokens[offsets[begin] : offsets[end]].tolist() == whole
        begin = end
