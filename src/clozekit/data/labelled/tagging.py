"""Tagging: rows of words with one tag per word."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clozekit.config.data import TaggingDataConfig
from clozekit.config.reading import TaggingReading
from clozekit.corpus.tokenizers.special_tokens import role_names
from clozekit.corpus.tokenizers.word_marks import needs_space_before
from clozekit.data.files.cells import as_text, items_in, shown
from clozekit.data.files.conll import is_conll, read_conll
from clozekit.data.files.rows import MISSING_LABEL, Rows, as_name, is_missing, ordered_names
from clozekit.data.labelled.features import Features, RowError
from clozekit.data.labelled.labelled_datamodule import LabelledDataModule
from clozekit.data.labelled.sequences import lay_out, windows
from clozekit.data.labelled.tag_conversion import conversion_of_file
from clozekit.data.labelled.tagged_rows import TaggedRows, TaggedWords
from clozekit.data.sequence_format import Ids
from clozekit.errors import DataError
from clozekit.metrics.tag_schemes import (
    IOB2,
    OUTSIDE,
    SCHEMES,
    Scheme,
    completed,
    converted,
    entities_of,
    outside_of,
    recognised,
)


class TaggingFeatures(Features[TaggedWords]):
    """Reads and encodes words with tags.

    A sentence that is too long is split into overlapping windows. The tag of a word is predicted
    from its first token, in the window with the most context around it.

    Attributes:
        scheme: The scheme of the training rows' tags; None if they are of no scheme.
        conversion: The scheme of the file that is being read, and that of the model, to which its
            tags are converted; None if they are the same or not known.
        was_iob1: Whether the training rows had IOB1 tags.
        num_stray: The number of tags of the training rows, other than `O`, that are in no entity.
    """

    config_class = TaggingReading
    config: TaggingReading
    scheme: Scheme | None = None
    conversion: tuple[Scheme, Scheme] | None = None
    was_iob1 = False
    num_stray = 0

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
        words = [] if is_missing(row[column]) else items_in(row[column], column)
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
        tags = items_in(given, self.config.tags_column)
        if isinstance(given, str) and len(tags) > 1 and _have_commas(tags):
            raise RowError(
                f"{self.config.tags_column} is {shown(given)} but must be tags separated by blanks "
                'alone, or a list in JSON, such as ["B-PER", "O"]'
            )
        if len(tags) != len(words):
            raise RowError(
                f"{self.config.tags_column} has {len(tags)} tags for {len(words)} words but must "
                "have one tag per word"
            )
        names = [None if is_missing(tag) else as_name(tag) for tag in tags]
        if all(name is None for name in names):
            return None
        if self.conversion is not None:
            names = converted(names, *self.conversion)
        return TaggedWords(row_id, tuple(words), tuple(names))

    def read_rows(self, source: str) -> Rows:
        """Reads a CoNLL file or another file of rows."""
        if is_conll(source):
            return read_conll(source, self.config.words_column, self.config.tags_column)
        return super().read_rows(source)

    def is_read(self, source: str) -> bool:
        """Whether a file is a CoNLL file or another file of rows, by its name."""
        return is_conll(source) or super().is_read(source)

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
        self.scheme = self._scheme(names)
        self.was_iob1 = self.conversion is not None
        if self.scheme is not None:
            self.num_stray = sum(_num_stray(each.tags, self.scheme) for each in examples)
            # Every type gets all tags, even if only one of them occurs in the rows.
            self.label_names = completed(names, self.scheme)
        else:
            self.label_names = class_names.get(self.config.tags_column) or ordered_names(found)

    def labels_of(self, example: TaggedWords) -> Sequence[str | None]:
        """Returns the tags of a row."""
        return example.tags

    def look_through(self, rows: Rows) -> None:
        """Finds out whether the tags of a file are to be converted to the scheme of the model."""
        self.conversion = conversion_of_file(rows, self.config, self.label_names)

    def task_arguments(self) -> dict[str, Any]:
        """Returns the scheme of the tags."""
        return {"tag_scheme": "none" if self.scheme is None else self.scheme.name}

    def encode(self, examples: Sequence[TaggedWords], is_labelled: bool) -> TaggedRows:
        """Encodes each row as one sequence per window."""
        ids = self.label_ids()
        num_before = len(self.special.around_one[0])
        segments: list[tuple[Ids]] = []
        owners, num_words, places, labels = [], [], [], []
        for row, (tokens, first_tokens) in enumerate(self._tokens(examples)):
            tags = [MISSING_LABEL if t is None else ids[t] for t in examples[row].tags]
            size = self.max_seq_length - self.special.num_special_tokens(1)
            pieces = windows(len(tokens), size, min(self.config.doc_stride, max(1, size // 2)))
            home = _window_of_words(first_tokens, pieces)
            for piece, (begin, end) in enumerate(pieces):
                segments.append((tokens[begin:end],))
                owners.append(row)
                of_piece = np.flatnonzero(home == piece)
                num_words.append(len(of_piece))
                places.append(first_tokens[of_piece] - begin + num_before)
                labels.append(np.array(tags, np.int64)[of_piece])
        sizes = np.array(num_words, np.int64)
        begins = np.cumsum(sizes) - sizes
        every_label = np.concatenate(labels) if labels else np.empty(0, np.int64)
        counts = np.concatenate([[0], np.cumsum(every_label != MISSING_LABEL)])
        return TaggedRows(
            examples=examples,
            sequences=lay_out(segments, self.special),
            owners=np.array(owners, np.int64),
            num_targets=counts[begins + sizes] - counts[begins],
            is_truncated=np.zeros(len(examples), bool),
            num_words=sizes,
            places=np.concatenate(places) if places else np.empty(0, np.int64),
            labels=every_label,
        )

    def _scheme(self, names: set[str]) -> Scheme | None:
        """Returns the scheme of the training rows' tags, after IOB1 is converted."""
        given = self.config.tag_scheme
        if given in ("auto", "none"):
            return recognised(names) if given == "auto" else None
        scheme = IOB2 if given == "iob1" else SCHEMES[given]
        stray = outside_of(scheme, sorted(names))
        if stray is not None:
            raise DataError(
                f"data.tag_scheme={given}: the tag {stray!r} is not O or one of "
                f"{', '.join(f'{prefix}-…' for prefix in scheme.prefixes)}"
            )
        return scheme

    def _tokens(self, examples: Sequence[TaggedWords]) -> list[tuple[Ids, NDArray[np.int64]]]:
        """Returns the tokens of each row and the index of each word's first token."""
        nothing = self._words_without_tokens({w for example in examples for w in example.words})
        texts = [[self._text_of(w, w in nothing) for w in example.words] for example in examples]
        if needs_space_before(self.tokenizer):
            texts = [[f" {w}" if i else w for i, w in enumerate(words)] for words in texts]
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

    def _text_of(self, word: str, has_no_tokens: bool) -> str:
        """Returns what stands for a word in the text: the unknown token if it has no tokens."""
        if not has_no_tokens:
            return word
        roles = role_names(self.tokenizer)
        return roles.get("unk", roles["sep"])

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


def _num_stray(tags: Sequence[str | None], scheme: Scheme) -> int:
    known = [OUTSIDE if tag is None else tag for tag in tags]
    in_entities = sum(entity.end - entity.start for entity in entities_of(known, scheme))
    return len(known) - known.count(OUTSIDE) - in_entities


def _have_commas(tags: Sequence[Any]) -> bool:
    """Whether all tags but the last end in a comma or semicolon, which then separates them."""
    return all(isinstance(tag, str) and tag.endswith((",", ";")) for tag in tags[:-1])


class TaggingDataModule(LabelledDataModule[TaggedWords]):
    """Words with tags; also reads CoNLL files."""

    config_class = TaggingDataConfig
    features_class = TaggingFeatures

    def facts(self) -> dict[str, str]:
        """Describes the rows, the labels and the scheme of the tags."""
        features = self.features
        assert isinstance(features, TaggingFeatures)
        if features.scheme is None:
            return super().facts()
        scheme = features.scheme.name
        described = f"iob1, converted to {scheme}" if features.was_iob1 else scheme
        if features.num_stray:
            described += (
                f"; {features.num_stray:,} tags are in no entity, because they do not begin or end "
                "one as this scheme does (set data.tag_scheme if it is another one)"
            )
        return super().facts() | {"tag scheme": described}
