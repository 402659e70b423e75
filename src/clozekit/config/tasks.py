"""Schemas of clozekit's tasks, checked before the classes are imported."""

import json
from typing import Annotated, Any, Literal

from pydantic import Field, FiniteFloat, StrictBool, field_validator

from clozekit.config.groups import Closed
from clozekit.config.values import Count

Dropout = Annotated[float, Field(ge=0, lt=1)]
Share = Annotated[float, Field(ge=0, lt=1)]

LARGEST_WEIGHT = 1e15
"""Sums of losses with this weight stay finite in float32."""

Weight = Annotated[float, Field(ge=0, le=LARGEST_WEIGHT, allow_inf_nan=False)]

ClassKey = str | bool | int | float
"""A class, or the value that YAML takes its name for: `2.1` may be the class 2.1 or 2.10."""

BALANCED: Literal["balanced"] = "balanced"


class CorpusTaskConfig(Closed):
    """The arguments of pretraining tasks: none."""


class ClassificationTaskConfig(Closed):
    """The arguments of `clozekit.tasks.classification.ClassificationModule`."""

    classifier_dropout: Dropout = 0.1
    class_weights: Literal["balanced"] | dict[ClassKey, Weight] | list[Weight] | None = None
    label_smoothing: Share = 0.0

    @field_validator("class_weights", mode="before")
    @classmethod
    def _check_class_weights(cls, value: object) -> object:
        if value is None or value == BALANCED:
            return value
        if isinstance(value, str):
            value = weights_in(value) or value
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
        if isinstance(value, dict) and None in value:
            raise ValueError('null is not the name of a class; if it should be, write "null"')
        return value


def weights_in(text: str) -> dict[str, Any] | None:
    """Reads weights by class from the JSON that the command line has for names such as 2.10.

    Raises:
        ValueError: A class is given twice.
    """
    if not text.startswith("{"):
        return None
    try:
        pairs = json.loads(text, object_pairs_hook=list)
    except (ValueError, RecursionError):
        return None
    weights = dict(pairs)
    if len(weights) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the class {twice!r} is given twice; give each class one weight")
    return weights


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
