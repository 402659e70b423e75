"""How the rows of each fine-tuning task are read: the options of its features.

Each option is declared here only: its type, bounds, default and meaning.
"""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from clozekit.config.groups import Closed
from clozekit.config.values import SHORTEST_SEQUENCE, Count


def _check_columns(value: object) -> object:
    names = value if isinstance(value, list) and value else [value]
    if not all(isinstance(name, str) for name in names):
        raise ValueError(f"{value}: it should be the name of a column, or a list of names")
    return value


Columns = Annotated[str | list[str], BeforeValidator(_check_columns)]
"""The name of a column, or several names."""

OnUnknownLabel = Literal["count", "error"]


class Reading(Closed):
    """The options of all tasks.

    Attributes:
        max_seq_length: The maximum sequence length, including special tokens; longer rows are
            truncated or split into windows.
        id_column: The column with row ids; None for row numbers.
        allow_empty_text: Whether a row may have an empty text; if not, it is refused. Null is an
            empty text. Such rows are counted.
    """

    max_seq_length: int = Field(128, ge=SHORTEST_SEQUENCE, le=2**24)
    id_column: str | None = None
    allow_empty_text: bool = True


class TextReading(Reading):
    """Rows with a text or a text pair.

    Attributes:
        text_column: The column with the text.
        text_pair_column: The column with the second text, if any.
    """

    text_column: str = "text"
    text_pair_column: str | None = None


class MaskedTextReading(Closed):
    """Rows with a text that has [MASK], for a pretrained model.

    Attributes:
        text_column: The column with the text.
        text_pair_column: The column with the second text; None for `text_pair`, which rows need not
            have.
        id_column: The column with row ids; None for row numbers.
    """

    text_column: str = "text"
    text_pair_column: str | None = None
    id_column: str | None = None


class ClassificationReading(TextReading):
    """Texts or text pairs with class labels.

    Attributes:
        label_column: The column with the label.
        multi_label: Whether a row has any number of labels: a list, also as text in JSON or as
            Python or numpy print it, or names separated by `;`.
        on_unknown_label: What to do with gold labels that are not in the training rows: `count`
            them as errors and list them, or stop with an `error`.
    """

    label_column: str = "label"
    multi_label: bool = False
    on_unknown_label: OnUnknownLabel = "count"


class RegressionReading(TextReading):
    """Texts or text pairs with scores.

    Attributes:
        score_column: The column with the score.
    """

    score_column: str = "score"


class TaggingReading(Reading):
    """Words with one tag per word.

    Attributes:
        words_column: The column with the words: lists, also as text in JSON or as Python or numpy
            print them, or text that is split at whitespace.
        tags_column: The column with the tags, likewise.
        tag_scheme: The scheme of entity tags in the files; `auto` recognises it from the tags. Tags
            of `iob1` are converted to `iob2`. With `none`, the tags stand for no entities.
        on_unknown_label: What to do with gold tags that are not in the training rows: `count` them
            as errors and list them, or stop with an `error`.
        doc_stride: The number of tokens between the starts of two windows of a long sentence, at
            most half a window.
    """

    words_column: str = "tokens"
    tags_column: str = "tags"
    tag_scheme: Literal["auto", "iob1", "iob2", "iobes", "bilou", "none"] = "auto"
    on_unknown_label: OnUnknownLabel = "count"
    doc_stride: Count = 64


class QuestionReading(Reading):
    """Questions with paragraphs.

    Attributes:
        question_column: The column with the question.
        context_column: The column with the paragraph.
        answers_column: The column with the answers in SQuAD's format: `text` and `answer_start`. A
            question whose column `is_impossible` is true has no answer.
        max_query_length: The maximum number of tokens of a question; longer ones are truncated.
        doc_stride: The number of tokens between the starts of two windows of a long paragraph, at
            most half a window, so that an answer cut at the end of a window is whole in the next.
        id_column: The column with question ids; None for row numbers.
    """

    max_seq_length: int = Field(384, ge=SHORTEST_SEQUENCE, le=2**24)
    question_column: str = "question"
    context_column: str = "context"
    answers_column: str = "answers"
    max_query_length: Count = 64
    doc_stride: Count = 128
    id_column: str | None = "id"


class MultipleChoiceReading(Reading):
    """Questions with choices.

    Attributes:
        context_column: The column with the context, which is the first segment.
        question_column: The column with the question, which comes before each choice in the second
            segment; None if there is no question.
        choices_column: The column with the list of choices, which may be text in JSON or as Python
            or numpy print it, or one column per choice.
        label_column: The column with the index of the correct choice, from 0.
    """

    context_column: str = "context"
    question_column: str | None = "question"
    choices_column: Columns = "choices"
    label_column: str = "label"


class EmbeddingReading(Reading):
    """Pairs of texts that are to have similar vectors.

    Attributes:
        anchor_column: The column with the text; the only one that is needed for prediction.
        positive_column: The column with the text that is to be similar to the anchor. Rows without
            one are skipped.
        negative_column: The column with a text that is not similar to the anchor (a hard negative),
            if any. Each row then is three sequences.
        score_column: The column with the similarity of a pair in validation and test rows, if they
            have one. Training rows must not have scores.
        unsupervised: Whether a row may be a single text, which is encoded twice with different
            dropout (unsupervised SimCSE).
    """

    anchor_column: str = "anchor"
    positive_column: str = "positive"
    negative_column: str | None = None
    score_column: str | None = "score"
    unsupervised: bool = False
