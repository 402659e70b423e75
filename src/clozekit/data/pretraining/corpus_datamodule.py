"""The base DataModule of pretraining: a prepared corpus and the masking rule."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from tokenizers import Tokenizer

from clozekit.config.data import CorpusDataConfig, Masking
from clozekit.config.phases import PhaseSettings, shares_in_words
from clozekit.corpus.manifest import SPLITS, Counts, Split
from clozekit.corpus.shard_files import ShardFile, check_first
from clozekit.corpus.stored_corpus import StoredCorpus
from clozekit.corpus.tokenizers.special_tokens import SpecialTokens
from clozekit.corpus.tokenizers.word_marks import WordMarks, word_marks
from clozekit.data.mixing import Mixture, integer_weights
from clozekit.data.module import StreamDataModule
from clozekit.data.pretraining.corpora import Corpora, estimated_samples
from clozekit.data.pretraining.masking import MaskingRule
from clozekit.data.pretraining.planned_source import PlannedSource
from clozekit.data.pretraining.span_masking import span_length_distribution
from clozekit.data.pretraining.unigram import entropy_of_sources
from clozekit.data.sequence_format import SequenceFormat
from clozekit.data.stream import BatchShape, Phase, Source
from clozekit.errors import DataError


class CorpusDataModule(StreamDataModule):
    """Samples and masks are drawn again in each epoch; validation always uses those of epoch 0.

    Validation also has its own masking rule, `validation_masking`, which training does not change.

    Its options are declared in `config_class`.

    Raises:
        DataError: The folder is not a corpus.
    """

    config_class = CorpusDataConfig
    config: CorpusDataConfig
    no_samples: ClassVar[str] = "no samples"
    """What is missing in a split without samples."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        config = self.config
        self.corpora = Corpora(config)
        self.tokenizer = self.corpora.load_tokenizer()
        self.special_tokens = SpecialTokens.from_tokenizer(self.tokenizer)
        self.special = SequenceFormat.of(self.tokenizer, self._tokenizer_file)
        self._marks: WordMarks | None = None
        self.masking = self._masking_rule(config)
        self.shards = {split: self.corpora.shards(split) for split in SPLITS}
        if self.is_local:
            check_first([*self.shards["validation"], *self.shards["train"]])
        self._openers = {
            split: self.corpora.opener(split, self.shards[split], self.seed, config.cache)
            for split in SPLITS
        }
        self._sources: dict[tuple[int, float], Source] = {}
        self.sources["train"] = self._train_source(self.max_seq_length, config.masked_lm_prob)
        self.sources["validation"] = self._make_source(
            "validation", self.max_seq_length, self._masking_rule(config.validation_masking)
        )
        self.data_hash = self.corpora.hash
        self.source_names = self.corpora.names
        if self.source_names:
            self.source_shards = {split: self.corpora.ranges(split) for split in SPLITS}

    def _train_source(self, max_seq_length: int, masked_lm_prob: float) -> Source:
        """Returns the source of phases with this length and mask rate.

        Sources with the same length have the same samples, and share their plans.
        """
        key = max_seq_length, masked_lm_prob
        if key not in self._sources:
            masking = replace(self.masking, masked_lm_prob=masked_lm_prob)
            alike = [
                source
                for (length, _), source in self._sources.items()
                if length == max_seq_length and isinstance(source, PlannedSource)
            ]
            self._sources[key] = (
                alike[0].with_masking(masking)
                if alike
                else self._make_source("train", max_seq_length, masking)
            )
        return self._sources[key]

    def _make_source(self, split: Split, max_seq_length: int, masking: MaskingRule) -> Source:
        source = self.make_source(self.shards[split], max_seq_length, masking)
        if isinstance(source, PlannedSource):
            source.opener = self._openers[split]
            source.ranges = self.corpora.ranges(split)
        return source

    @abstractmethod
    def make_source(
        self, shards: Sequence[Path | ShardFile], max_seq_length: int, masking: MaskingRule
    ) -> Source:
        """Makes the source of a split, with samples of at most `max_seq_length` tokens."""

    def phases(self, max_steps: int, rank: int, world_size: int) -> list[Phase]:
        """Returns the phases of training.

        Raises:
            ConfigError: A micro-batch would be empty.
        """
        return [
            Phase(
                self._source_of(phase.settings),
                BatchShape(
                    phase.settings.global_batch_size,
                    phase.settings.micro_batch_size,
                    rank,
                    world_size,
                    phase.settings.key,
                ),
                phase.first_step,
                self._mixture(phase.settings),
                None if phase.settings.begins_epoch else phase.settings.max_seq_length,
            )
            for phase in self.planned_phases(max_steps)
        ]

    def _source_of(self, settings: PhaseSettings) -> Source:
        assert settings.masked_lm_prob is not None
        return self._train_source(settings.max_seq_length, settings.masked_lm_prob)

    def _mixture(self, settings: PhaseSettings) -> Mixture | None:
        if not settings.weights:
            return None
        weights = integer_weights(tuple(settings.weights.values()))
        return Mixture(self.source_names, self.source_shards["train"], weights)

    @property
    def is_local(self) -> bool:
        """Whether all corpora are local folders."""
        return self.corpora.is_local

    def steps_per_epoch(self) -> float:
        """Returns the number of optimizer steps per pass over the data.

        It is estimated from the first shard of each corpus that has samples, which is fetched for
        that. In a mixture a pass is as many samples as all corpora have. With several phases, it is
        the mean over all steps.
        """
        phases = self.config.phase_settings()
        of_phases = [self._steps_per_epoch(phase) for phase in phases]
        if len(of_phases) == 1:
            return of_phases[0]
        if not all(of_phases):
            return 0.0
        passes = [phase.ratio / steps for phase, steps in zip(phases, of_phases, strict=True)]
        return 1 / sum(passes)

    def unigram_entropy(self) -> float | None:
        """Estimates the entropy of the frequencies of the tokens, in nats.

        In a mixture, the frequencies are those of the last phase's weights.
        """
        weights = self.config.phase_settings()[-1].weights
        shares = list(weights.values()) if weights else [1.0]
        ranges = self.corpora.ranges("train")
        shards = [[self.shards["train"][index] for index in each] for each in ranges]
        return entropy_of_sources(shards, shares, self.seed)

    def check_samples(self) -> None:
        """Checks that there is something to train on and to validate on.

        Raises:
            DataError: A split has no samples.
        """
        for split in SPLITS:
            source = self.sources[split]
            for index, shards in enumerate(self.corpora.ranges(split)):
                if self.is_local:
                    has_samples = any(source.num_samples(0, shard) for shard in shards)
                else:
                    # Without fetching a shard that may not be read for long.
                    counts = self.corpora.all[index].manifest.splits[split]
                    has_samples = self.makes_samples(counts)
                if not has_samples:
                    place = self.corpora.place(index)
                    raise DataError(f"{place}: the {split} split has {self.no_samples}")

    def makes_samples(self, counts: Counts) -> bool:
        """Whether documents with these counts make at least one sample."""
        return counts.tokens > 0

    def check_files(self) -> None:
        """Checks that the shards in use have not been cut.

        Raises:
            DataError: One has been.
        """
        for source in (*self.sources.values(), *self._sources.values()):
            if isinstance(source, PlannedSource):
                source.check_files()

    def facts(self) -> dict[str, str]:
        """Describes the cache of stored corpora, and the shares of a mixture without phases."""
        facts = {}
        stored = [c for c in self.corpora.all if isinstance(c, StoredCorpus)]
        if stored:
            facts["corpus"] = (
                f"{', '.join(corpus.url for corpus in stored)}, with at most "
                f"{self.config.cache.limit} of its shards in {stored[0].folder}"
            )
        if self.source_names and len(self.config.phase_settings()) == 1:
            facts["mixture"] = shares_in_words(self.config.weights)
        return facts

    def _masking_rule(self, config: Masking) -> MaskingRule:
        mask_token_id = self.special_tokens.mask
        if mask_token_id is None:
            raise DataError(
                f"{self._tokenizer_file} has no mask token, which masked words need; prepare "
                "the corpus with a tokenizer that names one, as mask_token in its "
                "tokenizer_config.json"
            )
        needs_words = config.whole_word_mask or config.span_mask
        marks = self.word_marks() if needs_words else None
        spans = span_length_distribution(config.span_geometric_p, config.max_span_length)
        return MaskingRule(
            mask_token_id=mask_token_id,
            replacement_ids=replacement_ids(self.tokenizer, self.special_tokens),
            masked_lm_prob=config.masked_lm_prob,
            mask_token_prob=config.mask_token_prob,
            random_token_prob=config.random_token_prob,
            max_predictions_per_seq=config.max_predictions_per_seq,
            continues_word=marks.continues if marks else None,
            ends_word=marks.ends if marks else None,
            span_lengths=spans if config.span_mask else None,
        )

    def word_marks(self) -> WordMarks:
        """Returns which tokens of the vocabulary are inside a word.

        Raises:
            DataError: The tokenizer does not mark words.
        """
        self._marks = self._marks or word_marks(self.tokenizer, self._tokenizer_file)
        return self._marks

    @property
    def _tokenizer_file(self) -> str:
        """The tokenizer's name for error messages."""
        return str(self.corpora.all[0].tokenizer_file)

    def _steps_per_epoch(self, phase: PhaseSettings) -> float:
        source = self._source_of(phase)
        num_samples = sum(
            estimated_samples(corpus, shards, source.num_samples)
            for corpus, shards in zip(self.corpora.all, self.corpora.ranges("train"), strict=True)
        )
        return num_samples / phase.global_batch_size


def replacement_ids(tokenizer: Tokenizer, special_tokens: SpecialTokens) -> np.ndarray:
    """Returns the ids that may replace a token: all except special tokens, ascending."""
    ids = np.array(sorted(tokenizer.get_vocab().values()))
    return ids[~np.isin(ids, special_tokens.ids)]
