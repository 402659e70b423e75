"""The options of clozekit's DataModules, checked before torch is imported.

Each option is declared here only: its type, bounds, default and meaning. The DataModules validate
their arguments with these classes, and docs/configuration.md is generated from them.
"""

from dataclasses import replace
from glob import has_magic
from pathlib import Path
from typing import Literal, Self, TypeAlias

from pydantic import Field, model_validator

from clozekit.config.cache import CacheConfig
from clozekit.config.groups import Closed
from clozekit.config.mixture import CorpusPath
from clozekit.config.paths import PathText
from clozekit.config.phases import (
    FirstPhaseConfig,
    PhaseConfig,
    PhaseSettings,
    check_ratios,
    check_weights,
)
from clozekit.config.reading import (
    ClassificationReading,
    EmbeddingReading,
    MultipleChoiceReading,
    QuestionReading,
    RegressionReading,
    TaggingReading,
)
from clozekit.config.values import SHORTEST_SEQUENCE, Count
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
    max_seq_length: int = Field(128, ge=SHORTEST_SEQUENCE, le=2**24)

    @model_validator(mode="after")
    def _check_prefetch_factor(self) -> Self:
        if self.prefetch_factor is not None and self.num_workers == 0:
            raise ValueError(
                f"prefetch_factor={self.prefetch_factor} requires workers, but num_workers=0"
            )
        return self

    def phase_settings(self) -> tuple[PhaseSettings, ...]:
        """Returns what holds in each phase of training; there is one by default."""
        return (
            PhaseSettings(
                key="",
                ratio=1.0,
                max_seq_length=self.max_seq_length,
                masked_lm_prob=getattr(self, "masked_lm_prob", None),
                global_batch_size=self.global_batch_size,
                micro_batch_size=self.micro_batch_size,
                weights=getattr(self, "weights", {}),
            ),
        )

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
        span_mask: Whether spans of whole words are selected, as in SpanBERT; each is replaced by
            [MASK] or by random tokens, or stays unchanged, as a whole.
        span_geometric_p: The parameter of the geometric distribution of a span's number of words.
        max_span_length: The maximum number of words in a span.
    """

    masked_lm_prob: float = Field(0.15, gt=0, lt=1)
    mask_token_prob: float = Field(0.8, ge=0, le=1)
    random_token_prob: float = Field(0.1, ge=0, le=1)
    max_predictions_per_seq: Count | None = None
    whole_word_mask: bool = False
    span_mask: bool = False
    span_geometric_p: float = Field(0.2, gt=0, le=1)
    max_span_length: int = Field(10, ge=1, le=1024)

    @model_validator(mode="after")
    def _check_mask_probabilities(self) -> Self:
        if self.mask_token_prob + self.random_token_prob > 1:
            raise ValueError(
                f"mask_token_prob={self.mask_token_prob} and random_token_prob="
                f"{self.random_token_prob} add up to more than 1"
            )
        return self


class CorpusDataConfig(Masking, StreamConfig):
    """The options of DataModules that read prepared corpora.

    Attributes:
        path: The folder written by `clozekit prepare`, or the URL of a copy of it in an object
            store, such as `s3://bucket/corpus`. For a mixture of several corpora with the same
            tokenizer, a mapping from a name to the keys of `SourceConfig`, such as
            `{news: {path: data/news, weight: 3}, mails: {path: data/mails, weight: 1}}`.
        cache: Where the shards of a URL are kept, with the keys of `CacheConfig`.
        short_seq_prob: The probability that a sample has a shorter target length.
        validation_masking: How the tokens of validation are masked, with the keys of `Masking`. It
            is the same for all runs unless it is set, so that runs with different masking can be
            compared.
        phases: The phases of training, a list in which each has the keys of `PhaseConfig`; null for
            a single phase. Validation is the same in all of them.
        first_phase: A first training phase with shorter samples, with the keys of
            `FirstPhaseConfig`: a shorter way to write two phases. Null to use one length
            throughout.
    """

    path: CorpusPath
    cache: CacheConfig = CacheConfig()
    short_seq_prob: float = Field(0.1, ge=0, le=1)
    validation_masking: Masking = Masking()
    phases: list[PhaseConfig] | None = None
    first_phase: FirstPhaseConfig | None = None

    @model_validator(mode="after")
    def _check_phases(self) -> Self:
        if self.phases is not None:
            if self.first_phase is not None:
                raise ValueError("phases and first_phase are both set: set one of them to null")
            check_ratios(self.phases)
            check_weights(self.phases, self.weights)
        for phase in self.phase_settings():
            if phase.max_seq_length > self.max_seq_length:
                raise ValueError(
                    f"{phase.key}.max_seq_length={phase.max_seq_length} is more than "
                    f"max_seq_length={self.max_seq_length}, the length of validation and of phases "
                    "that do not set it"
                )
        return self

    @property
    def paths(self) -> dict[str, str]:
        """The path of each source of a mixture; the only path has an empty name."""
        if isinstance(self.path, str):
            return {"": self.path}
        return {name: source.path for name, source in self.path.items()}

    @property
    def weights(self) -> dict[str, float]:
        """The weight of each source of a mixture; empty for a single path."""
        if isinstance(self.path, str):
            return {}
        return {name: source.weight for name, source in self.path.items()}

    def phase_settings(self) -> tuple[PhaseSettings, ...]:
        """Returns what holds in each phase of training."""
        whole = super().phase_settings()[0]
        if self.first_phase is not None:
            first = self.first_phase
            return (
                replace(
                    whole,
                    key="first_phase",
                    ratio=first.ratio,
                    max_seq_length=first.max_seq_length,
                    micro_batch_size=first.micro_batch_size,
                ),
                replace(whole, ratio=1 - first.ratio, begins_epoch=True),
            )
        if self.phases is None:
            return (whole,)
        settings = []
        for index, phase in enumerate(self.phases):
            given = phase.model_dump(exclude_none=True)
            weights = {**whole.weights, **given.pop("weights", {})}
            settings.append(replace(whole, key=f"phases.{index}", weights=weights, **given))
        return tuple(settings)

    def check_files(self) -> None:
        """Checks that the folders are corpora, and have the same tokenizer."""
        from clozekit.corpus.opening import open_corpora

        open_corpora(self.paths, self.cache)


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
            if path is None or is_there(Path(path)):
                continue
            if Path(path).is_dir():
                raise DataError(
                    f"data.{key}={path} is a folder but must be a file; to read a folder, set "
                    f"data.path={path} and data.{key} to the name of a split"
                )
            if has_magic(str(path)):
                raise DataError(
                    f"data.{key}={path} is not a file; patterns are not expanded; join the files, "
                    f"or set data.path to their folder and data.{key} to the name of a split"
                )
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


class EmbeddingDataConfig(EmbeddingReading, LabelledDataConfig):
    """Pairs of texts, from files or a dataset."""
