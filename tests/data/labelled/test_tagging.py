"""Tags of words: every word once, at its first token, in the window with the most around it."""

import random

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from clozekit.data.labelled.labelled_source import LabelledSource
from clozekit.data.labelled.sequences import windows
from clozekit.data.labelled.tagged_rows import TaggedRows, TaggedWords
from clozekit.data.labelled.tagging import TaggingFeatures
from clozekit.data.order import Position
from clozekit.data.stream import BatchShape, Phase, TrainingStream
from tests.data.labelled.labelled_rows import encoded, whole_batch
from tests.data.labelled.tagged_files import features_of
from tests.data.spelling import WORDS, special_tokens, spelling_tokenizer
from tests.kinds_of_tokenizers import NAMES, plain_tokenizer, tokenizer_of

# Words of several tokens, of one, and such as the tokenizer leaves nothing of.
odd_words = st.sampled_from(
    ["", " ", "\u200b", "\x07", "\ufffd", "\u0301", "\u3000", "a b", "北京", "[SEP]", "a" * 120]
)

some_words = (
    st.sampled_from([*WORDS, "playing", "horses", "U.N."]) | odd_words | st.text(max_size=5)
)


# Long sentences too, of which hypothesis would draw few.
any_words = st.integers(1, 40).flatmap(
    lambda number: st.lists(some_words, min_size=number, max_size=number)
)

TAGS = ("x", "y", "z")


def tags_for(words: list[str]) -> list[str]:
    return [TAGS[number % 3] for number in range(len(words))]


def token_lists(words: list[str]) -> list[list[int]]:
    """Every word's tokens, of each word on its own."""
    tokens = [spelling_tokenizer().encode(word, add_special_tokens=False).ids for word in words]
    return [ids or [special_tokens().unk] for ids in tokens]


@settings(deadline=None, max_examples=80)
@given(st.lists(any_words, min_size=1, max_size=3), st.integers(8, 20), st.integers(1, 20))
@example([["\u200b"], ["a", "\x07", "\u200b", "b"]], 8, 1)
def test_every_word_has_one_place_that_of_its_first_token(
    sentences: list[list[str]], max_seq_length: int, doc_stride: int
) -> None:
    # A row with all tags, so that all are known.
    rows = [{"tokens": words, "tags": tags_for(words)} for words in [["a", "b", "c"], *sentences]]
    batch = whole_batch(encoded(features_of(max_seq_length, doc_stride), rows))
    words = [word for row in rows for word in row["tokens"]]
    firsts = [ids[0] for ids in token_lists(words)]
    assert batch.input_ids[batch.positions].tolist() == firsts
    assert batch.labels.tolist() == [
        TAGS.index(tag) for row in rows for tag in tags_for(row["tokens"])
    ]
    assert len(set(batch.positions.tolist())) == len(words)
    assert batch.packing.max_seqlen <= max_seq_length


@settings(deadline=None, max_examples=100)
@given(any_words, st.integers(8, 20), st.integers(1, 12))
def test_a_words_window_is_the_one_with_the_most_around_its_first_token(
    words: list[str], max_seq_length: int, doc_stride: int
) -> None:
    rows = encoded(
        features_of(max_seq_length, doc_stride),
        [{"tokens": ["a"], "tags": ["y"]}, {"tokens": words, "tags": ["x"] * len(words)}],
    )
    tokens = token_lists(words)
    number = sum(map(len, tokens))
    size = max_seq_length - 2
    pieces = windows(number, size, min(doc_stride, size // 2))
    assert len(rows.owners) == 1 + len(pieces)
    first, found = 0, placed(rows, row=1)
    for word, ids in enumerate(tokens):
        context = [
            min(
                first - begin if begin else number,
                end - 1 - first if end < number else number,
            )
            if begin <= first < end
            else -1
            for begin, end in pieces
        ]
        piece, place = found[word]
        assert context[piece] == max(context) >= 0
        assert place == first - pieces[piece][0] + 1
        first += len(ids)


def placed(rows: TaggedRows, row: int) -> list[tuple[int, int]]:
    """Of every word of a row, the window that has it and its place there."""
    sequences = np.flatnonzero(rows.owners == row)
    return [
        (piece, int(rows.places[rows.first_words[sequence] + number]))
        for piece, sequence in enumerate(sequences)
        for number in range(rows.num_words[sequence])
    ]


def test_training_reads_every_words_tag_once_an_epoch_in_windows_of_any_order() -> None:
    draw = random.Random(0)
    kinds = {word: f"tag-{word}" for word in ("the", "old", "horse", "cow")}
    sentences = [draw.choices(list(kinds), k=draw.randint(1, 50)) for _ in range(12)]
    rows = [{"tokens": words, "tags": [kinds[w] for w in words]} for words in sentences]
    features = features_of(16, 5)
    source = LabelledSource(encoded(features, rows), is_training=True)
    names = features.label_names
    assert names is not None and source.num_samples(0, 0) > len(rows)
    shape = BatchShape(source.num_samples(0, 0), 4)
    tokenizer, number = spelling_tokenizer(), 0
    step = next(iter(TrainingStream([Phase(source, shape)], 0, Position())))
    assert len(step.micro_batches) == shape.accumulation > 1
    for batch in step.micro_batches:
        ids = batch.input_ids[batch.positions].tolist()  # type: ignore[attr-defined]
        for token, label in zip(ids, batch.labels.tolist(), strict=True):  # type: ignore[attr-defined]
            assert names[label] == kinds[tokenizer.id_to_token(token)]
            number += 1
    assert number == step.num_targets == sum(map(len, sentences))


KIND_WORDS = st.lists(
    st.sampled_from(["The", "horse", "'s", ",", "café", "北京", "-", "(at", "12345", "x"])
    | st.text("abTü.", min_size=1, max_size=5),
    min_size=1,
    max_size=8,
)


@pytest.mark.parametrize("kind", ["modernbert", "roberta", "xlmr"])
@pytest.mark.parametrize("adds_space", [True, False])
@settings(deadline=None, max_examples=30)
@given(KIND_WORDS)
def test_words_are_encoded_as_running_text(kind: str, adds_space: bool, words: list[str]) -> None:
    """As transformers does with `is_split_into_words`, which needs `add_prefix_space`."""
    tokenizer = Tokenizer.from_str(tokenizer_of(kind).to_str())
    names = {f"{role}_token": token for role, token in NAMES[kind].items()}
    spaced = Tokenizer.from_str(plain_tokenizer(kind).to_str())
    if kind != "xlmr":
        spaced.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=adds_space)
    reference = PreTrainedTokenizerFast(tokenizer_object=spaced, **names)
    expected = reference(words, is_split_into_words=True)
    word_ids = expected.word_ids()
    firsts = [word_ids.index(number) for number in range(len(words))]
    features = TaggingFeatures(tokenizer, max_seq_length=512)
    rows = features.encode([TaggedWords(0, tuple(words), (None,) * len(words))], False)
    ids, places = rows.sequences.input_ids.tolist(), rows.places.tolist()
    if kind == "xlmr" or adds_space:
        assert (ids, places) == (expected["input_ids"], firsts)
        return
    # The first word of a text has no space before it, all others are the same.
    assert ids == tokenizer.encode(" ".join(words)).ids
    if len(words) > 1:
        assert ids[places[1] :] == expected["input_ids"][firsts[1] :]
        assert np.diff(places[1:]).tolist() == np.diff(firsts[1:]).tolist()
