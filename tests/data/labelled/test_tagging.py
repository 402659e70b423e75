"""Tags of words: every word once, at its first token, in the window with the most around it."""

import csv
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from clozekit.data.labelled.features import RowError
from clozekit.data.labelled.labelled_source import LabelledSource
from clozekit.data.labelled.sequences import windows
from clozekit.data.labelled.tagged_rows import TaggedRows, TaggedWords
from clozekit.data.labelled.tagging import TaggingDataModule, TaggingFeatures
from clozekit.data.order import Position
from clozekit.data.stream import BatchShape, Phase, TrainingStream
from clozekit.errors import DataError
from tests.data.labelled.labelled_rows import encoded, whole_batch
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


def features_of(max_seq_length: int = 128, doc_stride: int = 64) -> TaggingFeatures:
    return TaggingFeatures(
        spelling_tokenizer(), max_seq_length=max_seq_length, doc_stride=doc_stride
    )


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


def tagged(tags: Any, words: Any = None) -> tuple[str | None, ...] | None:
    row = {"tokens": ["w"] * len(tags) if words is None else words, "tags": tags}
    found = features_of().example(row, 0, is_labelled=True)
    return None if found is None else found.tags


def read(folder: Path, *sentences: str, **options: Any) -> TaggingDataModule:
    """A DataModule of a file with one sentence of these tags each."""
    lines = [[f"the {tag}" for tag in sentence.split()] for sentence in sentences]
    text = "\n\n".join("\n".join(sentence) for sentence in lines)
    (folder / "a.conll").write_text(text + "\n\nhorse O\n" * 3)
    return datamodule(folder / "a.conll", **options)


def tags_read(data: TaggingDataModule) -> set[tuple[str | None, ...]]:
    examples = [e for source in data.sources.values() for e in source.rows.examples]  # type: ignore[attr-defined]
    return {example.tags for example in examples} - {("O",)}


@pytest.mark.parametrize(
    ("given", "expected", "scheme"),
    [
        (
            ["I-PER I-PER O I-LOC B-LOC I-LOC", "I-PER I-LOC O O"],
            ["B-PER I-PER O B-LOC B-LOC I-LOC", "B-PER B-LOC O O"],
            "iob2",
        ),
        # The I of the second sentence is a mistake, as the first one is not IOB1.
        (["B-PER I-PER", "I-PER"], ["B-PER I-PER", "I-PER"], "iob2"),
        (["B-PER I-PER E-PER S-LOC", "I-LOC"], ["B-PER I-PER E-PER S-LOC", "I-LOC"], "iobes"),
        (["B-PER L-PER U-LOC"], ["B-PER L-PER U-LOC"], "bilou"),
        # Of no scheme: what looks like IOB1 in one sentence is not.
        (["NOUN", "I-x I-x"], ["NOUN", "I-x I-x"], "none"),
    ],
)
def test_the_scheme_of_a_file_is_that_of_all_its_tags(
    given: list[str], expected: list[str], scheme: str, tmp_path: Path
) -> None:
    data = read(tmp_path, *given)
    assert tags_read(data) == {tuple(sentence.split()) for sentence in expected}
    assert data.task_arguments()["tag_scheme"] == scheme
    told = data.facts().get("tag scheme", "none")
    assert told.split(";")[0].split()[-1] == scheme
    assert ("1 tags are in no entity" in told) == (given[-1] in ("I-PER", "I-LOC"))


def test_the_scheme_may_be_given(tmp_path: Path) -> None:
    mixed = ("B-PER I-PER", "I-PER")
    assert tags_read(read(tmp_path, *mixed, tag_scheme="iob1")) == {("B-PER", "I-PER"), ("B-PER",)}
    plain = read(tmp_path, *mixed, tag_scheme="none")
    assert plain.features.label_names == ["B-PER", "I-PER", "O"]
    assert plain.task_arguments()["tag_scheme"] == "none"
    with pytest.raises(DataError, match=r"tag_scheme=iobes: the tag 'NOUN' is not O or one of B-…"):
        read(tmp_path, "B-PER", "NOUN", tag_scheme="iobes")


def test_a_file_in_iob1_is_learnt_in_iob2(tmp_path: Path) -> None:
    (tmp_path / "a.conll").write_text("the I-PER\nold I-PER\ncow B-PER\n\nhorse O\n")
    data = datamodule(tmp_path / "a.conll")
    assert data.features.label_names == ["O", "B-PER", "I-PER"]
    assert sorted(all_labels(data)) == [0, 1, 1, 2]


def test_every_type_of_entity_has_both_tags_in_the_order_of_types() -> None:
    features = features_of()
    encoded(features, [{"tokens": ["a", "b"], "tags": ["B-b", "B-a"]}])
    assert features.label_names == ["O", "B-a", "I-a", "B-b", "I-b"]
    encoded(features, [{"tokens": ["a", "b"], "tags": ["NOUN", "ADJ"]}])
    assert features.label_names == ["ADJ", "NOUN"]
    encoded(features, [{"tokens": ["a", "b", "c"], "tags": [10, 9, 2.0]}])
    assert features.label_names == ["2", "9", "10"]


@pytest.mark.parametrize("missing", [None, ""])
def test_a_missing_tag_is_left_out_of_the_loss_and_a_row_of_them_altogether(
    missing: object,
) -> None:
    assert tagged([missing, "x", "y"]) == (None, "x", "y")
    assert tagged([missing, missing]) is None
    assert tagged(missing, ["a", "b"]) is None
    rows = encoded(features_of(), [{"tokens": ["a", "b", "c"], "tags": ["x", missing, "y"]}])
    batch = whole_batch(rows)
    assert batch.labels.tolist() == [0, -100, 1]
    assert rows.num_targets.tolist() == [2]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"tokens": ["a", "b"], "tags": ["x"]}, "tags has 1 tags for 2 words"),
        ({"tokens": ["a"], "tags": ["x", "y"]}, "tags has 2 tags for 1 words"),
        ({"tokens": ["a", 2], "tags": ["x", "y"]}, "tokens has 2 but must have words only"),
        ({"tokens": 3, "tags": ["x", "y"]}, "tokens is 3 but must be a list"),
        ({"words": ["a"], "tags": ["x"]}, "there is no 'tokens'; the row has words, tags"),
        ({"tokens": ["a"], "tags": [float("nan")]}, "the label is nan but must be text"),
        ({"tokens": ["a \ud83d"], "tags": ["x"]}, "tokens has half of a surrogate pair"),
        ({"tokens": ["a"], "tags": ["x\ud83d"]}, "the label has half of a surrogate pair"),
        ({"tokens": ["a"], "tags": 3}, "tags is 3 but must be a list"),
    ],
)
def test_rows_that_do_not_fit_are_told(row: dict[str, Any], message: str) -> None:
    with pytest.raises(RowError, match=message):
        features_of().example(row, 0, is_labelled=True)


@pytest.mark.parametrize("form", [str, json.dumps, np.array])
def test_lists_in_the_cells_of_a_csv_file_are_read(
    form: Callable[[list[str]], object], tmp_path: Path
) -> None:
    path = tmp_path / "a.csv"
    words, tags = ["Anna", "sees", "Rome"], ["B-PER", "O", "B-LOC"]
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("tokens", "tags"), (form(words), form(tags))])
    data = datamodule(path)
    assert data.features.label_names == ["O", "B-LOC", "I-LOC", "B-PER", "I-PER"]
    (example,) = data.sources["train"].rows.examples  # type: ignore[attr-defined]
    assert (example.words, example.tags) == (tuple(words), tuple(tags))


def test_a_list_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("tokens\ttags\n['a', 'b'\tx y\n")
    with pytest.raises(DataError, match=r"a\.tsv, line 2: tokens is .* a list that cannot be read"):
        datamodule(tmp_path / "a.tsv")


def test_the_words_of_a_text_are_split_even_if_it_looks_like_a_list() -> None:
    row = features_of().row_of("['a', 'b' [x]", None)
    example = features_of().example(row, 0, is_labelled=False)
    assert example is not None and example.words == ("['a',", "'b'", "[x]")


def test_a_row_to_predict_on_needs_no_tags_and_may_be_a_text() -> None:
    found = features_of().example({"tokens": "the  old horse"}, 4, is_labelled=False)
    assert found is not None
    assert (found.id, found.words, found.tags) == (4, ("the", "old", "horse"), (None,) * 3)
    batch = whole_batch(features_of().encode([found], is_labelled=False))
    assert batch.labels.tolist() == [-100] * 3


def test_a_sentence_without_words_can_be_predicted_on() -> None:
    rows = [features_of().example({"tokens": words}, 0, False) for words in ([], ["a"], [])]
    batch = whole_batch(features_of().encode(rows, is_labelled=False))  # type: ignore[arg-type]
    assert batch.packing.cu_seqlens.tolist() == [0, 2, 5, 7]
    assert batch.positions.tolist() == [3]


def datamodule(train: Path, validation: Path | None = None, **options: Any) -> TaggingDataModule:
    return TaggingDataModule(
        tokenizer=spelling_tokenizer(),
        train=str(train),
        validation=str(validation or train),
        seed=0,
        global_batch_size=2,
        micro_batch_size=2,
        **options,
    )


def all_labels(data: TaggingDataModule) -> list[int]:
    return [label for loaded in data.val_dataloader() for label in loaded.batch.labels.tolist()]  # type: ignore[attr-defined]


def test_rows_of_a_file_that_do_not_fit_are_told_with_file_and_row(tmp_path: Path) -> None:
    good = tmp_path / "good.jsonl"
    good.write_text('{"tokens": ["a", "b"], "tags": ["x", "y"]}\n')
    bad = tmp_path / "bad.jsonl"
    bad.write_text(good.read_text() + '{"tokens": ["a", "b"], "tags": ["x"]}\n')
    with pytest.raises(DataError, match=r"bad\.jsonl, line 2: tags has 1 tags for 2 words"):
        datamodule(good, bad)
    other = tmp_path / "other.conll"
    other.write_text("# a comment\na x\n\nb z\n")
    assert datamodule(good, other).unknown_labels == {"validation": {"z": 1}}
    with pytest.raises(
        DataError,
        match=r"other\.conll, the sentence at line 4: .* 'z' does not occur in .* have x, y$",
    ):
        datamodule(good, other, on_unknown_label="error")


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
