"""The options of the DataModules that ship with clozekit, checked before torch is imported.

These classes are the only declaration of an option: its type, bounds, default and meaning. The
DataModules validate what they are given by them, and the reference is made of them.
"""

from pathlib import Path
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, NonNegativeInt, PositiveInt, model_validator

from clozekit.config.reading import (
    ClassificationReading,
    MultipleChoiceReading,
    QuestionReading,
    RegressionReading,
    TaggingReading,
)
from clozekit.config.train import Closed, PhaseConfig
from clozekit.errors import DataError

PathText = Annotated[str, BeforeValidator(lambda v: str(v) if isinstance(v, Path) else v)]
"""Text that Python may also give as a `Path`."""


class StreamConfig(Closed):
    """What all DataModules share.

    Attributes:
        seed: What every random choice in the data depends on: order, pairs, masks, held-out rows.
        global_batch_size: Samples of an optimizer step, over all processes: pairs, rows, or the
            windows that rows are cut into.
        micro_batch_size: The most samples of one forward pass.
        num_workers: Processes that build batches beside the training process; null for none on the
            CPU, and on other devices for one per core, at most 4.
        prefetch_factor: The steps that each of them builds ahead; null for torch's own number.
        max_seq_length: The most tokens of a sample, special tokens included.
    """

    seed: int = Field(ge=0)
    global_batch_size: PositiveInt
    micro_batch_size: PositiveInt
    num_workers: NonNegativeInt | None = None
    prefetch_factor: PositiveInt | None = None
    max_seq_length: int = Field(128, ge=8)

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
    """What the DataModules of a prepared corpus share.

    Attributes:
        path: The folder that `clozekit prepare` wrote.
        short_seq_prob: The probability that a sample aims at a shorter length.
        masked_lm_prob: The share of tokens that is chosen.
        mask_token_prob: The share of the chosen that becomes [MASK].
        random_token_prob: The share of the chosen that becomes another token; the rest stays.
        max_predictions_per_seq: The most tokens chosen in a sequence; None for no limit.
        whole_word_mask: Whether all tokens of a word are chosen together.
        first_phase: The beginning of training, where that has shorter samples, by the keys of
            `PhaseConfig`; None for samples of one length.
    """

    path: PathText
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
    """What the DataModules of labelled rows share, beside how rows are read.

    Attributes:
        train: The file of training rows; a split's name where there is a `path`.
        validation: The file or split of validation rows; None to hold out a share of the training
            rows, of every class alike.
        test: The file or split of test rows, if there is one.
        path: A data set's folder, or its name on the Hugging Face hub.
        name: The data set's configuration, where it has several.
        tokenizer: A `tokenizer.json` or `vocab.txt`; None to take the pretrained encoder's. Python
            may give a tokenizer itself.
        validation_fraction: The share held out.
    """

    train: PathText
    validation: PathText | None = None
    test: PathText | None = None
    path: PathText | None = None
    name: str | None = None
    tokenizer: PathText | None
    validation_fraction: float = Field(0.1, gt=0, lt=1)

    def check_files(self) -> None:
        """Checks that the files are there; splits of a data set are checked as they are read."""
        splits = ("train", "validation", "test") if self.path is None else ()
        for key in (*splits, "tokenizer"):
            path = getattr(self, key)
            if path is not None and not Path(path).is_file():
                raise DataError(f"data.{key}={path}: there is no such file")


class ClassificationDataConfig(ClassificationReading, LabelledDataConfig):
    """Texts or pairs with classes, from files or a data set."""


class RegressionDataConfig(RegressionReading, LabelledDataConfig):
    """Texts or pairs with scores, from files or a data set."""


class TaggingDataConfig(TaggingReading, LabelledDataConfig):
    """Words with a tag each, from files or a data set."""


class QuestionDataConfig(QuestionReading, LabelledDataConfig):
    """Questions with paragraphs, from files or a data set."""


class MultipleChoiceDataConfig(MultipleChoiceReading, LabelledDataConfig):
    """Questions with choices, from files or a data set."""


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
"""The options of each DataModule, which is not imported; a user's own checks them itself."""
