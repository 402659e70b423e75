"""How the rows of each fine-tuning task are read: the options of its features.

Each option is declared here only: its type, bounds, default and meaning.
"""

from pydantic import Field, PositiveInt

from clozekit.config.groups import Closed


class Reading(Closed):
    """The options of all tasks.

    Attributes:
        max_seq_length: The maximum sequence length, including special tokens; longer rows are
            truncated or split into windows.
        id_column: The column with row ids; None for row numbers.
        allow_empty_text: Whether a row may have an empty text; if not, it is refused. Null is an
            empty text. Such rows are counted.
    """

    max_seq_length: int = Field(128, ge=8)
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


class ClassificationReading(TextReading):
    """Texts or text pairs with class labels.

    Attributes:
        label_column: The column with the label.
        multi_label: Whether a row has any number of labels: a list, also as text in JSON or as
            Python or numpy print it, or names separated by `;`.
    """

    label_column: str = "label"
    multi_label: bool = False


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
        doc_stride: The number of tokens between the starts of two windows of a long sentence, at
            most half a window.
    """

    words_column: str = "tokens"
    tags_column: str = "tags"
    doc_stride: PositiveInt = 64


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
        context_column: The column with the context, which is the first segment.
        question_column: The column with the question, which comes before each choice in the second
            segment; None if there is no question.
        choices_column: The column with the list of choices, which may be text in JSON or as Python
            or numpy print it, or one column per choice.
        label_column: The column with the index of the correct choice, from 0.
    """

    context_column: str = "context"
    question_column: str | None = "question"
    choices_column: str | list[str] = "choices"
    label_column: str = "label"
