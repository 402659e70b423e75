"""The options of clozekit's DataModules, checked before torch is imported.

Each option is declared here only: its type, bounds, default and meaning. The DataModules validate
their arguments with these classes, and docs/configuration.md is generated from them.
"""

from pathlib import Path
from typing import Literal, Self, TypeAlias

from pydantic import Field, model_validator

from clozekit.config.cache import CacheConfig
from clozekit.config.groups import Closed
from clozekit.config.paths import PathText
from clozekit.config.reading import (
    ClassificationReading,
    MultipleChoiceReading,
    QuestionReading,
    RegressionReading,
    TaggingReading,
)
from clozekit.config.train import PhaseConfig
from clozekit.config.values import Count
from clozekit.errors import DataError

PairObjective: TypeAlias = Literal["next_sentence", "sentence_order"]
"""What is predicted of a sentence pair."""


class StreamConfig(Closed):
    """The options of all DataModules.

    Attributes:
        seed: The seed of every random choice in the data: order, pairs, masks, held-out rows.
        global_batch_size: The number of samples per optimizer step, over all processes: pairs,
            rows, or the windows that rows are split into.
        micro_batch_size: The maximum number of samples per forward pass.
        num_workers: The number of worker processes that build batches, per training process; None
            for no workers on the CPU, and one per core, at most 4, on other devices.
        prefetch_factor: The number of steps that each worker builds in advance; None for torch's
            default, 2.
        max_seq_length: The maximum number of tokens per sample, including special tokens.
    """

    seed: int = Field(ge=0, le=2**32 - 1)
    global_batch_size: Count
    micro_batch_size: Count
    num_workers: int | None = Field(None, ge=0, le=1024)
    prefetch_factor: Count | None = None
    max_seq_length: int = Field(128, ge=8, le=2**24)

    @model_validator(mode="after")
    def _check_prefetch_factor(self) -> Self:
        if self.prefetch_factor is not None and self.num_workers == 0:
            raise ValueError(
                f"prefetch_factor={self.prefetch_factor} requires workers, but num_workers=0"
            )
        return self

    def check_files(self) -> None:
        """Checks that the configured files exist.

        Raises:
            DataError: A file or folder does not exist.
        """
        raise NotImplementedError


class Masking(Closed):
    """How tokens are masked.

    Attributes:
        masked_lm_prob: The fraction of tokens selected for prediction.
        mask_token_prob: The fraction of selected tokens that are replaced by [MASK].
        random_token_prob: The fraction of selected tokens that are replaced by a random token; the
            rest stay unchanged.
        max_predictions_per_seq: The maximum number of selected tokens per sequence; None for no
            limit.
        whole_word_mask: Whether all tokens of a word are selected together.
    """

    masked_lm_prob: float = Field(0.15, gt=0, lt=1)
    mask_token_prob: float = Field(0.8, ge=0, le=1)
    random_token_prob: float = Field(0.1, ge=0, le=1)
    max_predictions_per_seq: Count | None = None
    whole_word_mask: bool = False

    @model_validator(mode="after")
    def _check_mask_probabilities(self) -> Self:
        if self.mask_token_prob + self.random_token_prob > 1:
            raise ValueError(
                f"mask_token_prob={self.mask_token_prob} and random_token_prob="
                f"{self.random_token_prob} add up to more than 1"
            )
        return self


class CorpusDataConfig(Masking, StreamConfig):
    """The options of DataModules that read a prepared corpus.

    Attributes:
        path: The folder written by `clozekit prepare`, or the URL of a copy of it in an object
            store, such as `s3://bucket/corpus`.
        cache: Where the shards of a URL are kept, with the keys of `CacheConfig`.
        short_seq_prob: The probability that a sample has a shorter target length.
        validation_masking: How the tokens of validation are masked, with the keys of `Masking`. It
            is the same for all runs unless it is set, so that runs with different masking can be
            compared.
        first_phase: A first training phase with shorter samples, with the keys of `PhaseConfig`;
            None to use one length throughout.
    """

    path: PathText
    cache: CacheConfig = CacheConfig()
    short_seq_prob: float = Field(0.1, ge=0, le=1)
    validation_masking: Masking = Masking()
    first_phase: PhaseConfig | None = None

    @model_validator(mode="after")
    def _check_first_phase(self) -> Self:
        if self.first_phase is not None and self.first_phase.max_seq_length > self.max_seq_length:
            raise ValueError(
                f"first_phase.max_seq_length={self.first_phase.max_seq_length} is more than "
                f"max_seq_length={self.max_seq_length}, the length of the second phase"
            )
        return self

    def check_files(self) -> None:
        """Checks that the folder is a corpus."""
        from clozekit.corpus.opening import open_corpus

        open_corpus(self.path, self.cache)


class PairDataConfig(CorpusDataConfig):
    """The options of the DataModule of sentence pairs.

    Attributes:
        pair_objective: `next_sentence` gives half of the pairs a random B (Devlin et al., 2019);
            `sentence_order` swaps A and B in half of the pairs (Lan et al., 2020).
    """

    pair_objective: PairObjective = "next_sentence"


class LabelledDataConfig(StreamConfig):
    """The options of DataModules for labelled rows, except how rows are read.

    Attributes:
        train: The file of training rows; with `path`, the name of a split.
        validation: The file or split of validation rows; None to hold out a fraction of the
            training rows, stratified by class.
        test: The file or split of test rows, if any.
        path: A dataset's folder, or its name on the Hugging Face Hub.
        name: The dataset's configuration, if it has several.
        tokenizer: A `tokenizer.json`, a `vocab.txt` or the folder of a tokenizer; None to use the
            pretrained encoder's. Python
            callers may pass a tokenizer object.
        validation_fraction: The fraction of training rows held out for validation.
    """

    train: PathText
    validation: PathText | None = None
    test: PathText | None = None
    path: PathText | None = None
    name: str | None = None
    tokenizer: PathText | None
    validation_fraction: float = Field(0.1, gt=0, lt=1)

    def check_files(self) -> None:
        """Checks that the files exist; splits of a dataset are checked when they are read."""
        splits = ("train", "validation", "test") if self.path is None else ()
        for key in (*splits, "tokenizer"):
            path = getattr(self, key)
            is_there = Path.exists if key == "tokenizer" else Path.is_file
            if path is not None and not is_there(Path(path)):
                raise DataError(f"data.{key}={path} does not exist")


class ClassificationDataConfig(ClassificationReading, LabelledDataConfig):
    """Texts or text pairs with class labels, from files or a dataset."""


class RegressionDataConfig(RegressionReading, LabelledDataConfig):
    """Texts or text pairs with scores, from files or a dataset."""


class TaggingDataConfig(TaggingReading, LabelledDataConfig):
    """Words with one tag per word, from files or a dataset."""


class QuestionDataConfig(QuestionReading, LabelledDataConfig):
    """Questions with paragraphs, from files or a dataset."""


class MultipleChoiceDataConfig(MultipleChoiceReading, LabelledDataConfig):
    """Questions with choices, from files or a dataset."""


SCHEMAS: dict[str, type[StreamConfig]] = {
    "clozekit.data.pretraining.pair_datamodule.PretrainingDataModule": PairDataConfig,
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
"""The options of each DataModule, by class path. Other classes check their own arguments."""
