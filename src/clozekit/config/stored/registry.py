"""clozekit's own classes by the names that checkpoints use, with the schemas of their arguments.

A class that is not listed here is imported only from a module that the user trusts by name.
"""

from collections.abc import Mapping
from typing import Literal

from pydantic import StrictBool, StrictStr

from clozekit.config import data, tasks
from clozekit.config.encoder import OWN_ENCODER
from clozekit.config.groups import Closed


class NoArguments(Closed):
    """The data-dependent arguments of tasks without classes: none."""


class LabelArguments(Closed):
    """The data-dependent arguments of tasks with classes."""

    label_names: list[StrictStr]


class TaggingArguments(LabelArguments):
    """The data-dependent arguments of `clozekit.tasks.tagging.TaggingModule`."""

    tag_scheme: Literal["auto", "iob2", "iobes", "bilou", "none"] = "auto"


class AnsweringArguments(Closed):
    """The data-dependent arguments of the tasks that answer questions."""

    has_unanswerable: StrictBool = False


class ClassificationArguments(LabelArguments):
    """The data-dependent arguments of `clozekit.tasks.classification.ClassificationModule`."""

    multi_label: StrictBool = False


class EmbeddingArguments(Closed):
    """The data-dependent arguments of `clozekit.tasks.embedding.EmbeddingModule`."""

    has_pairs: StrictBool = True
    has_scores: StrictBool = False


TASKS: Mapping[str, type[Closed]] = tasks.SCHEMAS
"""The tasks, with the schema of their configuration."""

DATA: Mapping[str, type[Closed]] = data.SCHEMAS
"""The DataModules, with the schema of their options."""

ENCODERS = frozenset({OWN_ENCODER})
"""The encoders; their schema is `EncoderConfig`."""

TASK_ARGUMENTS: Mapping[str, type[Closed]] = {
    **dict.fromkeys(TASKS, NoArguments),
    "clozekit.tasks.classification.ClassificationModule": ClassificationArguments,
    "clozekit.tasks.tagging.TaggingModule": TaggingArguments,
    "clozekit.tasks.question_answering.QuestionAnsweringModule": AnsweringArguments,
    "clozekit.tasks.question_answering_bio.QuestionAnsweringBIOModule": AnsweringArguments,
    "clozekit.tasks.embedding.EmbeddingModule": EmbeddingArguments,
}
"""The schema of the arguments of each task that depend on its data and are saved with it."""

PRETRAINING_TASKS = frozenset(
    {"clozekit.tasks.pretraining.PretrainingModule", "clozekit.tasks.masked_lm.MaskedLMModule"}
)
"""The tasks without labels."""
