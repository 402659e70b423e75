"""Schemas of the DataModules that ship with clozekit, checked before the classes are imported."""

from pathlib import Path
from typing import Self

from pydantic import Field, NonNegativeInt, PositiveInt, model_validator

from clozekit.config.train import Closed, PhaseConfig
from clozekit.errors import DataError


class StreamConfig(Closed):
    """The arguments of `clozekit.data.module.StreamDataModule`."""

    seed: int = Field(ge=0)
    global_batch_size: PositiveInt
    micro_batch_size: PositiveInt
    num_workers: NonNegativeInt | None = None
    prefetch_factor: PositiveInt | None = None

    @model_validator(mode="after")
    def _workers_are_there_to_build_ahead(self) -> Self:
        if self.prefetch_factor is not None and self.num_workers == 0:
            raise ValueError(
                f"prefetch_factor={self.prefetch_factor} is for workers, and num_workers=0"
            )
        return self

    def check_files(self) -> None:
        """Checks that what is named is there.

        Raises:
            DataError: It is not.
        """
        raise NotImplementedError


class CorpusDataConfig(StreamConfig):
    """The arguments of `clozekit.data.pretraining.corpus_datamodule.CorpusDataModule`."""

    path: str
    max_seq_length: int = Field(128, ge=8)
    short_seq_prob: float = Field(0.1, ge=0, le=1)
    masked_lm_prob: float = Field(0.15, gt=0, lt=1)
    mask_token_prob: float = Field(0.8, ge=0, le=1)
    random_token_prob: float = Field(0.1, ge=0, le=1)
    max_predictions_per_seq: PositiveInt | None = None
    whole_word_mask: bool = False
    first_phase: PhaseConfig | None = None

    @model_validator(mode="after")
    def _shares_add_up(self) -> Self:
        if self.mask_token_prob + self.random_token_prob > 1:
            raise ValueError(
                f"mask_token_prob={self.mask_token_prob} and random_token_prob="
                f"{self.random_token_prob} add up to more than 1"
            )
        return self

    @model_validator(mode="after")
    def _the_first_phase_is_shorter(self) -> Self:
        if self.first_phase is not None and self.first_phase.max_seq_length > self.max_seq_length:
            raise ValueError(
                f"first_phase.max_seq_length={self.first_phase.max_seq_length} is more than "
                f"max_seq_length={self.max_seq_length}, which comes after it"
            )
        return self

    def check_files(self) -> None:
        """Checks that the folder holds a corpus."""
        from clozekit.corpus.manifest import Corpus

        Corpus.open(Path(self.path))


class LabelledDataConfig(StreamConfig):
    """The arguments of `clozekit.data.labelled.labelled_datamodule.LabelledDataModule`."""

    train: str
    validation: str | None = None
    test: str | None = None
    path: str | None = None
    name: str | None = None
    tokenizer: str | None
    validation_fraction: float = Field(0.1, gt=0, lt=1)
    max_seq_length: int = Field(128, ge=8)
    id_column: str | None = None

    def check_files(self) -> None:
        """Checks that the files are there; splits of a data set are checked as they are read."""
        splits = ("train", "validation", "test") if self.path is None else ()
        for key in (*splits, "tokenizer"):
            path = getattr(self, key)
            if path is not None and not Path(path).is_file():
                raise DataError(f"data.{key}={path}: there is no such file")


class TextDataConfig(LabelledDataConfig):
    """What the DataModules of one text or a pair share."""

    text_column: str = "text"
    text_pair_column: str | None = None


class ClassificationDataConfig(TextDataConfig):
    """The arguments of `clozekit.data.labelled.classification.ClassificationDataModule`."""

    label_column: str = "label"
    multi_label: bool = False


class RegressionDataConfig(TextDataConfig):
    """The arguments of `clozekit.data.labelled.regression.RegressionDataModule`."""

    score_column: str = "score"


class TaggingDataConfig(LabelledDataConfig):
    """The arguments of `clozekit.data.labelled.tagging.TaggingDataModule`."""

    words_column: str = "tokens"
    tags_column: str = "tags"
    doc_stride: PositiveInt = 64


class QuestionDataConfig(LabelledDataConfig):
    """The arguments of `clozekit.data.labelled.paragraphs.QuestionDataModule`."""

    max_seq_length: int = Field(384, ge=8)
    question_column: str = "question"
    context_column: str = "context"
    answers_column: str = "answers"
    max_query_length: PositiveInt = 64
    doc_stride: PositiveInt = 128
    id_column: str | None = "id"


class MultipleChoiceDataConfig(LabelledDataConfig):
    """The arguments of `clozekit.data.labelled.multiple_choice.MultipleChoiceDataModule`."""

    context_column: str = "context"
    question_column: str | None = "question"
    choices_column: str | list[str] = "choices"
    label_column: str = "label"


SCHEMAS: dict[str, type[StreamConfig]] = {
    "clozekit.data.pretraining.pair_datamodule.PretrainingDataModule": CorpusDataConfig,
    "clozekit.data.pretraining.masked_lm_datamodule.MaskedLMDataModule": CorpusDataConfig,
    "clozekit.data.labelled.classification.ClassificationDataModule": ClassificationDataConfig,
    "clozekit.data.labelled.regression.RegressionDataModule": RegressionDataConfig,
    "clozekit.data.labelled.tagging.TaggingDataModule": TaggingDataConfig,
    "clozekit.data.labelled.question_answering.QuestionAnsweringDataModule": QuestionDataConfig,
    "clozekit.data.labelled.question_answering_bio.QuestionAnsweringBIODataModule": (
        QuestionDataConfig
    ),
    "clozekit.data.labelled.multiple_choice.MultipleChoiceDataModule": MultipleChoiceDataConfig,
}
"""The schema of each DataModule's arguments; a user's own is checked by its constructor."""
