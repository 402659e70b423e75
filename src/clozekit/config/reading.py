"""How the rows of each fine-tuning task are read: the options of its features.

These classes are the only declaration of an option: its type, bounds, default and meaning.
"""

from pydantic import Field, PositiveInt

from clozekit.config.train import Closed


class Reading(Closed):
    """What the rows of all tasks share.

    Attributes:
        max_seq_length: The longest sequence, special tokens included; longer rows are cut, or
            become windows.
        id_column: The column of the rows' ids; None for their numbers.
    """

    max_seq_length: int = Field(128, ge=8)
    id_column: str | None = None


class TextReading(Reading):
    """Rows of one text or a pair.

    Attributes:
        text_column: The column of the text.
        text_pair_column: The column of the second text, if there is one.
    """

    text_column: str = "text"
    text_pair_column: str | None = None


class ClassificationReading(TextReading):
    """Texts or pairs with classes.

    Attributes:
        label_column: The column of the class.
        multi_label: Whether a row may have several labels at once, or none: a list, or in files
            without lists names with `;` between them.
    """

    label_column: str = "label"
    multi_label: bool = False


class RegressionReading(TextReading):
    """Texts or pairs with scores.

    Attributes:
        score_column: The column of the score.
    """

    score_column: str = "score"


class TaggingReading(Reading):
    """Words with a tag each.

    Attributes:
        words_column: The column of the words: lists, or texts that are split at white space.
        tags_column: The column of the tags: lists, or texts likewise.
        doc_stride: The tokens between the beginnings of two windows of a long sentence, at most
            half a window.
    """

    words_column: str = "tokens"
    tags_column: str = "tags"
    doc_stride: PositiveInt = 64


class QuestionReading(Reading):
    """Questions with paragraphs.

    Attributes:
        question_column: The column of the question.
        context_column: The column of the paragraph.
        answers_column: The column of the answers, as SQuAD has them: `text` and `answer_start`.
        max_query_length: The most tokens of a question; longer ones are cut.
        doc_stride: The tokens between the beginnings of two windows of a long paragraph, at most
            half a window, for an answer that lies across a window's end is whole in the next.
        id_column: The column of the questions' ids; None for their numbers.
    """

    max_seq_length: int = Field(384, ge=8)
    question_column: str = "question"
    context_column: str = "context"
    answers_column: str = "answers"
    max_query_length: PositiveInt = 64
    doc_stride: PositiveInt = 128
    id_column: str | None = "id"


class MultipleChoiceReading(Reading):
    """Questions with choices.

    Attributes:
        context_column: The column of the context, the first segment.
        question_column: The column of the question, which stands before each choice in the second
            segment; None where there is none.
        choices_column: The column of the choices, a list; or the columns of one choice each.
        label_column: The column of the right choice's place, from 0.
    """

    context_column: str = "context"
    question_column: str | None = "question"
    choices_column: str | list[str] = "choices"
    label_column: str = "label"
