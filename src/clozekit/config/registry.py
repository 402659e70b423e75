"""clozekit's own tasks, with the data that they are trained on: the one table of both.

It is what a checkpoint may name: a class that is not listed here is imported only from a module
that the user trusts by name.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import StrictBool, StrictStr

from clozekit.config import data, tasks
from clozekit.config.data import StreamConfig
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


@dataclass(frozen=True)
class OwnTask:
    """A task of clozekit and its data.

    Attributes:
        name: The choice of the groups `task` and `data`.
        task: The LightningModule, by its path.
        task_config: The schema of what the group `task` says.
        data: The DataModule, by its path.
        data_config: The schema of what the group `data` says.
        arguments: The schema of the task's arguments that depend on its data and are saved with it.
        head: The head of a model of another library that does this task, if it has one of its own.
        other_data: Choices of the group `data` that the task can be trained on, beside its own.
    """

    name: str
    task: str
    task_config: type[Closed]
    data: str
    data_config: type[StreamConfig]
    arguments: type[Closed] = NoArguments
    head: str | None = None
    other_data: tuple[str, ...] = ()


OWN_TASKS = (
    OwnTask(
        "pretraining",
        "clozekit.tasks.pretraining.PretrainingModule",
        tasks.CorpusTaskConfig,
        "clozekit.data.pretraining.pair_datamodule.PretrainingDataModule",
        data.PairDataConfig,
    ),
    OwnTask(
        "masked_lm",
        "clozekit.tasks.masked_lm.MaskedLMModule",
        tasks.CorpusTaskConfig,
        "clozekit.data.pretraining.masked_lm_datamodule.MaskedLMDataModule",
        data.CorpusDataConfig,
        other_data=("pretraining",),
    ),
    OwnTask(
        "classification",
        "clozekit.tasks.classification.ClassificationModule",
        tasks.ClassificationTaskConfig,
        "clozekit.data.labelled.classification.ClassificationDataModule",
        data.ClassificationDataConfig,
        ClassificationArguments,
        "classification_head",
    ),
    OwnTask(
        "regression",
        "clozekit.tasks.regression.RegressionModule",
        tasks.HeadTaskConfig,
        "clozekit.data.labelled.regression.RegressionDataModule",
        data.RegressionDataConfig,
    ),
    OwnTask(
        "tagging",
        "clozekit.tasks.tagging.TaggingModule",
        tasks.TaggingTaskConfig,
        "clozekit.data.labelled.tagging.TaggingDataModule",
        data.TaggingDataConfig,
        TaggingArguments,
        "token_classification_head",
    ),
    OwnTask(
        "question_answering",
        "clozekit.tasks.question_answering.QuestionAnsweringModule",
        tasks.AnsweringTaskConfig,
        "clozekit.data.labelled.question_answering.QuestionAnsweringDataModule",
        data.QuestionDataConfig,
        AnsweringArguments,
        "question_answering_head",
    ),
    OwnTask(
        "question_answering_bio",
        "clozekit.tasks.question_answering_bio.QuestionAnsweringBIOModule",
        tasks.AnswerTaggingTaskConfig,
        "clozekit.data.labelled.question_answering_bio.QuestionAnsweringBIODataModule",
        data.QuestionDataConfig,
        AnsweringArguments,
        "answer_tagging_head",
    ),
    OwnTask(
        "multiple_choice",
        "clozekit.tasks.multiple_choice.MultipleChoiceModule",
        tasks.HeadTaskConfig,
        "clozekit.data.labelled.multiple_choice.MultipleChoiceDataModule",
        data.MultipleChoiceDataConfig,
        head="multiple_choice_head",
    ),
    OwnTask(
        "embedding",
        "clozekit.tasks.embedding.EmbeddingModule",
        tasks.EmbeddingTaskConfig,
        "clozekit.data.labelled.embedding.EmbeddingDataModule",
        data.EmbeddingDataConfig,
        EmbeddingArguments,
    ),
)

TASKS: Mapping[str, type[Closed]] = {own.task: own.task_config for own in OWN_TASKS}
"""The tasks, with the schema of their configuration."""

DATA: Mapping[str, type[StreamConfig]] = {own.data: own.data_config for own in OWN_TASKS}
"""The DataModules, with the schema of their options."""

ENCODERS = frozenset({OWN_ENCODER})
"""The encoders; their schema is `EncoderConfig`."""

TASK_ARGUMENTS: Mapping[str, type[Closed]] = {own.task: own.arguments for own in OWN_TASKS}
"""The schema of the arguments of each task that depend on its data and are saved with it."""

TASKS_OF_HEADS: Mapping[str, str] = {own.head: own.task for own in OWN_TASKS if own.head}
"""The task for each head of a model of another library."""

PRETRAINING_DATA: Mapping[str, str] = {
    own.name: own.data for own in OWN_TASKS if own.task_config is tasks.CorpusTaskConfig
}
"""The samples of each task without labels."""

PRETRAINING_TASKS = frozenset(own.task for own in OWN_TASKS if own.name in PRETRAINING_DATA)
"""The tasks without labels."""
