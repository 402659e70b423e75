"""Schemas of clozekit's tasks, checked before the classes are imported."""

from typing import Annotated, Literal

from pydantic import Field, FiniteFloat, StrictBool, field_validator

from clozekit.config.groups import Closed
from clozekit.config.values import Count

Dropout = Annotated[float, Field(ge=0, lt=1)]
Share = Annotated[float, Field(ge=0, lt=1)]

LARGEST_WEIGHT = 1e15
"""Sums of losses with this weight stay finite in float32."""

Weight = Annotated[float, Field(ge=0, le=LARGEST_WEIGHT, allow_inf_nan=False)]

BALANCED: Literal["balanced"] = "balanced"


class CorpusTaskConfig(Closed):
    """The arguments of pretraining tasks: none."""


class ClassificationTaskConfig(Closed):
    """The arguments of `clozekit.tasks.classification.ClassificationModule`."""

    classifier_dropout: Dropout = 0.1
    class_weights: Literal["balanced"] | dict[str, Weight] | list[Weight] | None = None
    label_smoothing: Share = 0.0

    @field_validator("class_weights", mode="before")
    @classmethod
    def _check_class_weights(cls, value: object) -> object:
        if value is None or value == BALANCED:
            return value
        if not isinstance(value, dict | list):
            raise ValueError(
                f"{value!r}: it should be null, balanced, weights by class such as {{name: 2.0}}, "
                "or a list in the order of the classes"
            )
        weights = value.items() if isinstance(value, dict) else enumerate(value)
        for name, weight in weights:
            is_number = isinstance(weight, int | float) and not isinstance(weight, bool)
            if not is_number or not 0 <= weight <= LARGEST_WEIGHT:
                raise ValueError(
                    f"{name}={weight}: a weight should be a non-negative number, at most "
                    f"{LARGEST_WEIGHT:g}"
                )
        if isinstance(value, list) and not any(value):
            raise ValueError(f"{value}: at least one weight should be greater than 0")
        return {_name(k): v for k, v in value.items()} if isinstance(value, dict) else value


def _name(key: object) -> str:
    """Returns a class's name. YAML parses some as booleans or numbers; rows name those alike."""
    if isinstance(key, bool):
        return str(key).lower()
    return str(int(key)) if isinstance(key, float) and key.is_integer() else str(key)


class HeadTaskConfig(Closed):
    """The arguments of tasks with only a dropout: regression and multiple choice."""

    classifier_dropout: Dropout = 0.1


class TaggingTaskConfig(HeadTaskConfig):
    """The arguments of `clozekit.tasks.tagging.TaggingModule`."""

    label_smoothing: Share = 0.0


class AnsweringTaskConfig(Closed):
    """The arguments of `clozekit.tasks.answering.AnsweringModule`."""

    n_best: Count = 20
    max_answer_length: Count = 30
    no_answer_threshold: FiniteFloat = 0.0


class PublishedAnsweringConfig(AnsweringTaskConfig):
    """The arguments of a model of another library that answers questions.

    Its folder does not say whether it was trained on questions without an answer.

    Attributes:
        has_unanswerable: Whether "no answer" can be predicted; None if the rows or a
            `no_answer_threshold` decide.
    """

    has_unanswerable: StrictBool | None = None


class AnswerTaggingTaskConfig(AnsweringTaskConfig):
    """The arguments of `clozekit.tasks.question_answering_bio.QuestionAnsweringBIOModule`."""

    classifier_dropout: Dropout = 0.1


class EmbeddingTaskConfig(Closed):
    """The arguments of `clozekit.tasks.embedding.EmbeddingModule`."""

    pooling: Literal["mean", "cls"] = "mean"
    temperature: float = Field(0.05, gt=0, allow_inf_nan=False)
