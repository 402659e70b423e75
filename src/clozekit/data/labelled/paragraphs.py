"""Questions with paragraphs split into windows: shared by both question answering tasks."""

import unicodedata
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from clozekit.config.reading import QuestionReading
from clozekit.data.batch import Window
from clozekit.data.files.cells import as_text, is_missing, shown
from clozekit.data.files.literals import read_literal
from clozekit.data.files.rows import Rows
from clozekit.data.files.squad import read_squad
from clozekit.data.files.unique_ids import with_unique_ids
from clozekit.data.labelled.encoded_rows import EncodedRows, Example
from clozekit.data.labelled.features import Features, RowError
from clozekit.data.labelled.fields import arrays_per_sequence, per_sequence
from clozekit.data.labelled.sequences import lay_out, token_ids, windows
from clozekit.data.sequence_format import Ids


@dataclass(frozen=True)
class Question(Example):
    """A question with its paragraph.

    Attributes:
        question: The question.
        context: The paragraph.
        answers: The right answers, each a slice of the paragraph; empty if there is no answer.
        answer_start: The start of each answer in the paragraph, in characters.
    """

    question: str
    context: str
    answers: tuple[str, ...]
    answer_start: tuple[int, ...]

    label_fields: ClassVar[frozenset[str]] = frozenset({"answers", "answer_start"})


@dataclass(frozen=True)
class QuestionRows(EncodedRows[Question]):
    """Questions with the windows of their paragraphs, one window per sequence.

    Attributes:
        begins: `[sequences]`. The index of the window's first token in its sequence.
        offsets: For each sequence, `[window's tokens, 2]`: start and end of each token in the
            paragraph.
        starts: `[sequences]`. The index in the window of the answer's first token, or -1 if the
            window does not contain the whole answer.
        ends: `[sequences]`. The index of the answer's last token, or -1.
    """

    begins: NDArray[np.int64] = field(metadata=per_sequence(np.int32))
    offsets: Sequence[NDArray[np.int64]] = field(metadata=arrays_per_sequence(np.int32, width=2))
    starts: NDArray[np.int64] = field(metadata=per_sequence(np.int32))
    ends: NDArray[np.int64] = field(metadata=per_sequence(np.int32))

    def windows(self, chosen: NDArray[np.int64]) -> tuple[Window, ...]:
        """Returns the windows of the sequences `chosen`; `example` counts the rows in `chosen`."""
        _, examples = np.unique(self.owners[chosen], return_inverse=True)
        return tuple(
            Window(int(example), int(self.begins[i]), self.offsets[i])
            for example, i in zip(examples, chosen, strict=True)
        )


_IS_IMPOSSIBLE = "is_impossible"

RowsT = TypeVar("RowsT", bound=QuestionRows)


class QuestionFeatures(Features[Question], Generic[RowsT]):
    """Reads and encodes questions and paragraphs.

    A paragraph that is too long is split into overlapping windows, each preceded by the question.
    """

    config_class = QuestionReading
    config: QuestionReading
    rows_class: type[RowsT]

    def __init__(self, tokenizer: Tokenizer, **options: Any) -> None:
        super().__init__(tokenizer, **options)
        # Leave room for the paragraph in every window.
        room = self.max_seq_length - self.special.num_special_tokens(2)
        self.max_query_length = min(self.config.max_query_length, room // 2)
        self.has_unanswerable = False

    @property
    def input_columns(self) -> list[str]:
        """The columns of question and paragraph."""
        return [self.config.question_column, self.config.context_column]

    @property
    def label_columns(self) -> list[str]:
        """The column of the answers."""
        return [self.config.answers_column]

    @property
    def optional_columns(self) -> list[str]:
        """The column of ids, and whether a question has no answer."""
        return [*super().optional_columns, _IS_IMPOSSIBLE]

    def has_empty_text(self, example: Question) -> bool:
        """Whether question or paragraph are empty."""
        return not example.question.strip() or not example.context.strip()

    def example(self, row: Mapping[str, Any], number: int, is_labelled: bool) -> Question | None:
        """Reads a row's question, paragraph and answers.

        Raises:
            RowError: A value cannot be used, or an answer is not at its `answer_start`.
        """
        question, context = (self.text(row, column) for column in self.input_columns)
        row_id = self.row_id(row, number)
        if not is_labelled:
            return Question(row_id, question, context, (), ())
        given = row[self.config.answers_column]
        is_impossible = _flag(row.get(_IS_IMPOSSIBLE))
        if is_impossible:
            return Question(row_id, question, context, (), ())
        if is_missing(given):
            return None
        texts, starts = _answers(given, self.config.answers_column)
        if not texts and is_impossible is False:
            raise RowError(
                f"{_IS_IMPOSSIBLE} is false, but the question with id {row_id!r} has no answer"
            )
        for text, start in zip(texts, starts, strict=True):
            if context[start : start + len(text)] != text or not text or start < 0:
                found = context[max(start, 0) : max(start, 0) + len(text)]
                raise RowError(
                    f"the answer {text!r} of the question with id {row_id!r} does not match its "
                    f"paragraph, which has {found!r} at character {start}"
                )
        return Question(row_id, question, context, texts, starts)

    def read_rows(self, source: str) -> Rows:
        """Reads SQuAD's nested JSON or a file of rows."""
        rows = read_squad(source) or super().read_rows(source)
        return with_unique_ids(rows, self.config.id_column)

    def read_split(self, path: str, name: str | None, split: str) -> Rows:
        """Reads a split of a data set."""
        return with_unique_ids(super().read_split(path, name, split), self.config.id_column)

    def row_of(self, text: str, text_pair: str | None) -> dict[str, Any]:
        """Makes a row from a question and its paragraph."""
        if text_pair is None:
            raise RowError(
                "text_pair is missing; text must be the question and text_pair the paragraph"
            )
        return {self.config.question_column: text, self.config.context_column: text_pair}

    def learn_labels(
        self, examples: Sequence[Question], class_names: Mapping[str, list[str]]
    ) -> None:
        """Checks whether there are questions without an answer."""
        self.has_unanswerable = any(not example.answers for example in examples)

    def groups(self, examples: Sequence[Question]) -> list[tuple[Hashable, ...]]:
        """Groups questions by paragraph, so that no validation paragraph is used in training."""
        return [(example.context,) for example in examples]

    def task_arguments(self) -> dict[str, Any]:
        """Returns whether there are questions without an answer."""
        return {"has_unanswerable": self.has_unanswerable}

    def encode(self, examples: Sequence[Question], is_labelled: bool) -> RowsT:
        """Encodes each row as one sequence per window."""
        questions = token_ids(self.tokenizer, [example.question for example in examples])
        contexts = self._contexts(examples)
        segments: list[tuple[Ids, Ids]] = []
        owners, begins, offsets, starts, ends = [], [], [], [], []
        num_before = sum(map(len, self.special.around_two[:2]))
        for row, example in enumerate(examples):
            question = questions[row][: self.max_query_length]
            tokens, places = contexts[example.context]
            first, last = _answer_tokens(example, places)
            size = self.max_seq_length - self.special.num_special_tokens(2) - len(question)
            for begin, end in windows(len(tokens), size, min(self.config.doc_stride, size // 2)):
                is_whole = first >= begin and last < end
                segments.append((question, tokens[begin:end]))
                owners.append(row)
                begins.append(len(question) + num_before)
                offsets.append(places[begin:end])
                starts.append(first - begin if is_whole else -1)
                ends.append(last - begin if is_whole else -1)
        return self.rows_class(
            examples=examples,
            sequences=lay_out(segments, self.special),
            owners=np.array(owners, np.int64),
            num_targets=self.num_targets(offsets),
            is_truncated=np.array([len(q) > self.max_query_length for q in questions], bool),
            begins=np.array(begins, np.int64),
            offsets=offsets,
            starts=np.array(starts, np.int64),
            ends=np.array(ends, np.int64),
        )

    def num_targets(self, offsets: Sequence[NDArray[np.int64]]) -> NDArray[np.int64]:
        """Returns `[sequences]`, the number of targets of each sequence."""
        raise NotImplementedError

    def _contexts(self, examples: Sequence[Question]) -> dict[str, tuple[Ids, NDArray[np.int64]]]:
        """Tokenises every paragraph once, even if it has several questions."""
        texts = list(dict.fromkeys(example.context for example in examples))
        encodings = self.tokenizer.encode_batch(texts, add_special_tokens=False)
        return {
            text: (
                np.array(encoding.ids, np.int32),
                _with_marks(text, _trimmed(text, encoding.offsets)),
            )
            for text, encoding in zip(texts, encodings, strict=True)
        }


def _answers(given: Any, column: str) -> tuple[tuple[str, ...], tuple[int, ...]]:
    try:
        found = read_literal(given) if isinstance(given, str) else given
        texts, starts = found["text"], found["answer_start"]
    except (TypeError, KeyError, ValueError):
        texts, starts = None, None
    if (
        not isinstance(texts, list | tuple)
        or not isinstance(starts, list | tuple)
        or len(texts) != len(starts)
        or not all(isinstance(text, str) for text in texts)
    ):
        raise RowError(
            f"{column} is {shown(given)} but must have lists `text` and `answer_start` of equal "
            "length"
        )
    # Missing values turn a column of integers into floats.
    if any(isinstance(s, bool) or not isinstance(s, int | float) or s != s // 1 for s in starts):
        raise RowError(f"{column} is {shown(given)} but `answer_start` must have whole numbers")
    return tuple(as_text(text, column) for text in texts), tuple(map(int, starts))


def _flag(value: Any) -> bool | None:
    """Reads whether a question has no answer; None if that is not said."""
    if is_missing(value):
        return None
    known = {True: True, False: False, "true": True, "false": False, "1": True, "0": False}
    is_simple = isinstance(value, str | int)
    found = known.get(value.lower() if isinstance(value, str) else value) if is_simple else None
    if found is None:
        raise RowError(f"{_IS_IMPOSSIBLE} is {shown(value)} but must be true or false")
    return found


def _trimmed(text: str, offsets: Sequence[tuple[int, int]]) -> NDArray[np.int64]:
    """Returns `[tokens, 2]`: the place of each token, without white space at its ends.

    Tokens of byte-level BPE and of Unigram have the space before a word. A token of white space
    alone has an empty place.
    """
    places = np.array(offsets, np.int64).reshape(-1, 2)
    is_space = np.array([character.isspace() for character in text] + [False], bool)
    while len(found := np.flatnonzero(is_space[places[:, 0]] & (places[:, 0] < places[:, 1]))):
        places[found, 0] += 1
    while len(found := np.flatnonzero(is_space[places[:, 1] - 1] & (places[:, 0] < places[:, 1]))):
        places[found, 1] -= 1
    return places


def _with_marks(text: str, places: NDArray[np.int64]) -> NDArray[np.int64]:
    """Extends tokens over the combining marks, such as accents, that the tokenizer removed."""
    if text.isascii():
        return places
    limits = np.append(places[1:, 0], len(text))
    for token in np.flatnonzero(places[:, 1] < limits):
        end = places[token, 1]
        while end < limits[token] and unicodedata.category(text[end]).startswith("M"):
            end += 1
        places[token, 1] = end
    return places


def _answer_tokens(example: Question, places: NDArray[np.int64]) -> tuple[int, int]:
    """Returns the first and the last token of the first answer, or -1 and -1 if there is none.

    Every token that overlaps the answer counts, so the slice of the paragraph that the tokens span
    contains the whole answer.
    """
    if not example.answers:
        return -1, -1
    begin = example.answer_start[0]
    end = begin + len(example.answers[0])
    inside = np.flatnonzero((places[:, 1] > begin) & (places[:, 0] < end))
    return (int(inside[0]), int(inside[-1])) if len(inside) else (-1, -1)
