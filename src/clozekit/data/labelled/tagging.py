"""Tagging: rows of words with one tag per word."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from clozekit.config.data import TaggingDataConfig
from clozekit.config.reading import TaggingReading
from clozekit.data.batch import TaggingBatch
from clozekit.data.files.cells import as_text, list_in, shown
from clozekit.data.files.conll import is_conll, read_conll
from clozekit.data.files.rows import MISSING_LABEL, Rows, as_name, is_missing, ordered_names
from clozekit.data.labelled.features import EncodedRows, Example, Features, RowError, unknown_label
from clozekit.data.labelled.labelled_datamodule import LabelledDataModule
from clozekit.data.labelled.sequences import NUM_SPECIAL_TOKENS, Ids, lay_out, windows
from clozekit.data.order import concatenated_ranges
from clozekit.metrics.entities import is_bio, to_iob2


@dataclass(frozen=True)
class TaggedWords(Example):
    """Words with their tags.

    Attributes:
        words: The words.
        tags: One tag per word; None if it is missing.
    """

    words: tuple[str, ...]
    tags: tuple[str | None, ...]


@dataclass(frozen=True)
class TaggedRows(EncodedRows[TaggedWords]):
    """Encoded rows with tagging targets; each word occurs once.

    Attributes:
        first_words: `[sequences]`. The index in `places` and `labels` of a sequence's first word.
        num_words: `[sequences]`. The number of words of each sequence.
        places: `[words]`. The index of each word's first token in its sequence.
        labels: `[words]`. The label of each word, or -100 if it has none.
    """

    first_words: NDArray[np.int64]
    num_words: NDArray[np.int64]
    places: NDArray[np.int64]
    labels: NDArray[np.int64]

    def targets(self, chosen: NDArray[np.int64], common: dict[str, Any]) -> TaggingBatch:
        """Adds the positions and tags of the words."""
        sizes = self.num_words[chosen]
        words = concatenated_ranges(self.first_words[chosen], sizes)
        begins = common["packing"].first_tokens.numpy().astype(np.int64)
        return TaggingBatch(
            **common,
            positions=torch.from_numpy(self.places[words] + np.repeat(begins, sizes)),
            labels=torch.from_numpy(self.labels[words]),
        )


class TaggingFeatures(Features[TaggedWords]):
    """Reads and encodes words with tags.

    A sentence that is too long is split into overlapping windows. The tag of a word is predicted
    from its first token, in the window with the most context around it.
    """

    config_class = TaggingReading
    config: TaggingReading

    @property
    def input_columns(self) -> list[str]:
        """The column of the words."""
        return [self.config.words_column]

    @property
    def label_columns(self) -> list[str]:
        """The column of the tags."""
        return [self.config.tags_column]

    def example(self, row: Mapping[str, Any], number: int, is_labelled: bool) -> TaggedWords | None:
        """Reads a row's words and tags."""
        column = self.config.words_column
        if column not in row:
            raise RowError(f"there is no {column!r}; the row has {', '.join(row) or 'no columns'}")
        words = [] if is_missing(row[column]) else _listed(row[column], column)
        for word in words:
            if not isinstance(word, str):
                raise RowError(f"{column} has {shown(word)} but must have words only")
            as_text(word, column)
        self.checked_text(" ".join(words), column)
        row_id = self.row_id(row, number)
        if not is_labelled:
            return TaggedWords(row_id, tuple(words), (None,) * len(words))
        given = row[self.config.tags_column]
        if is_missing(given) or not words:
            return None
        tags = _listed(given, self.config.tags_column)
        if len(tags) != len(words):
            raise RowError(
                f"{self.config.tags_column} has {len(tags)} tags for {len(words)} words but must "
                "have one tag per word"
            )
        names = [None if is_missing(tag) else as_name(tag) for tag in tags]
        return None if all(name is None for name in names) else _tagged(row_id, words, names)

    def read_rows(self, source: str) -> Rows:
        """Reads a CoNLL file or another file of rows."""
        if is_conll(source):
            return read_conll(source, self.config.words_column, self.config.tags_column)
        return super().read_rows(source)

    def row_of(self, text: str, text_pair: str | None) -> dict[str, Any]:
        """Makes a row from a text with words separated by white space."""
        if text_pair is not None:
            raise RowError(f"text_pair is {text_pair!r} but this task takes only text")
        return {self.config.words_column: text.split()}

    def learn_labels(
        self, examples: Sequence[TaggedWords], class_names: Mapping[str, list[str]]
    ) -> None:
        """Takes the tags that the data set declares, else those found in the rows, sorted."""
        found = {tag for example in examples for tag in example.tags if tag is not None}
        names = set(class_names.get(self.config.tags_column, ())) | found
        if is_bio(names):
            # Every type gets both tags, even if only one of them occurs in the rows.
            types = {name[2:] for name in names if name != "O"}
            self.label_names = ["O", *(f"{p}-{t}" for t in sorted(types) for p in "BI")]
        else:
            self.label_names = class_names.get(self.config.tags_column) or ordered_names(found)

    def check_labels(self, example: TaggedWords) -> None:
        """Checks that the tags occur in the training rows."""
        assert self.label_names is not None
        for tag in example.tags:
            if tag is not None and tag not in self.label_names:
                raise unknown_label(tag, self.label_names)

    def encode(self, examples: Sequence[TaggedWords], is_labelled: bool) -> TaggedRows:
        """Encodes each row as one sequence per window."""
        ids = {name: index for index, name in enumerate(self.label_names or ())}
        segments: list[tuple[Ids]] = []
        owners, num_words, places, labels = [], [], [], []
        for row, (tokens, first_tokens) in enumerate(self._tokens(examples)):
            tags = [MISSING_LABEL if t is None else ids[t] for t in examples[row].tags]
            size = self.max_seq_length - NUM_SPECIAL_TOKENS[1]
            pieces = windows(len(tokens), size, min(self.config.doc_stride, max(1, size // 2)))
            home = _window_of_words(first_tokens, pieces)
            for piece, (begin, end) in enumerate(pieces):
                segments.append((tokens[begin:end],))
                owners.append(row)
                of_piece = np.flatnonzero(home == piece)
                num_words.append(len(of_piece))
                places.append(first_tokens[of_piece] - begin + 1)
                labels.append(np.array(tags, np.int64)[of_piece])
        sizes = np.array(num_words, np.int64)
        begins = np.cumsum(sizes) - sizes
        every_label = np.concatenate(labels) if labels else np.empty(0, np.int64)
        counts = np.concatenate([[0], np.cumsum(every_label != MISSING_LABEL)])
        return TaggedRows(
            examples=examples,
            sequences=lay_out(segments, self.special_tokens),
            owners=np.array(owners, np.int64),
            num_targets=counts[begins + sizes] - counts[begins],
            num_truncated=0,
            first_words=begins,
            num_words=sizes,
            places=np.concatenate(places) if places else np.empty(0, np.int64),
            labels=every_label,
        )

    def _tokens(self, examples: Sequence[TaggedWords]) -> list[tuple[Ids, NDArray[np.int64]]]:
        """Returns the tokens of each row and the index of each word's first token."""
        nothing = self._words_without_tokens({w for example in examples for w in example.words})
        texts = [["[UNK]" if w in nothing else w for w in example.words] for example in examples]
        encodings = self.tokenizer.encode_batch(
            texts, is_pretokenized=True, add_special_tokens=False
        )
        tokens = []
        for encoding, words in zip(encodings, texts, strict=True):
            word_ids = np.array(encoding.word_ids, np.int64)
            found, first = np.unique(word_ids, return_index=True)
            assert len(found) == len(words), "every word has a token"
            tokens.append((np.array(encoding.ids, np.int32), first.astype(np.int64)))
        return tokens

    def _words_without_tokens(self, words: set[str]) -> set[str]:
        """Finds the words that the tokenizer turns into no tokens, such as control characters."""
        distinct = list(words)
        encodings = self.tokenizer.encode_batch_fast(distinct, add_special_tokens=False)
        return {word for word, e in zip(distinct, encodings, strict=True) if not e.ids}


def _window_of_words(
    first_tokens: NDArray[np.int64], pieces: Sequence[tuple[int, int]]
) -> NDArray[np.int64]:
    """Returns `[words]`: the window in which the shorter side of a word's context is longest."""
    begins, ends = np.array(pieces, np.int64).T
    before = first_tokens[:, None] - begins
    after = ends - 1 - first_tokens[:, None]
    # At the start and end of the text, no context is cut off, so that side does not count.
    after[:, -1] += np.where(after[:, -1] >= 0, before[:, -1] + 1, 0)
    before[:, 0] += np.where(before[:, 0] >= 0, after[:, 0] + 1, 0)
    context: NDArray[np.int64] = np.minimum(before, after)
    home: NDArray[np.int64] = context.argmax(axis=1)
    return home


def _tagged(row_id: str | int, words: Sequence[str], tags: Sequence[str | None]) -> TaggedWords:
    """Makes an example; converts IOB1 tags to IOB2."""
    if None not in tags and is_bio(tags):  # type: ignore[arg-type]
        tags = to_iob2(tags)  # type: ignore[arg-type]
    return TaggedWords(row_id, tuple(words), tuple(tags))


def _listed(value: Any, column: str) -> list[Any]:
    found = list_in(value, column)
    return value.split() if found is None else found


class TaggingDataModule(LabelledDataModule[TaggedWords]):
    """Words with tags; also reads CoNLL files."""

    config_class = TaggingDataConfig
    features_class = TaggingFeatures
