"""The base DataModule of pretraining: a prepared corpus and the masking rule."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from tokenizers import Tokenizer

from clozekit.config.data import CorpusDataConfig, Masking
from clozekit.corpus.fetch_ahead import FetchAhead
from clozekit.corpus.manifest import SPLITS, Counts, Split
from clozekit.corpus.opening import open_corpus
from clozekit.corpus.shard_files import ShardFile, check_first, shard_files
from clozekit.corpus.special_tokens import SpecialTokens
from clozekit.corpus.stored_corpus import StoredCorpus, StoredShardFile
from clozekit.corpus.tokenizer_files import load_tokenizer
from clozekit.corpus.word_marks import WordMarks, word_marks
from clozekit.data.module import StreamDataModule
from clozekit.data.order import shard_order
from clozekit.data.pretraining.masking import MaskingRule
from clozekit.data.pretraining.planned_source import PlannedSource
from clozekit.data.sequence_format import SequenceFormat
from clozekit.data.stream import Phase, Source
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
        self.corpus = open_corpus(config.path, config.cache)
        self.tokenizer = self._load_tokenizer()
        self.special_tokens = SpecialTokens.from_tokenizer(self.tokenizer)
        self.special = SequenceFormat.of(self.tokenizer, str(self.corpus.tokenizer_file))
        self._marks: WordMarks | None = None
        self.masking = self._masking_rule(config)
        validation_masking = self._masking_rule(config.validation_masking)
        self.shards = {split: self._shard_files(split) for split in SPLITS}
        if self.is_at_hand:
            check_first([*self.shards["validation"], *self.shards["train"]])
        for split in SPLITS:
            masking = self.masking if split == "train" else validation_masking
            self.sources[split] = self.make_source(self.shards[split], self.max_seq_length, masking)
        self.data_hash = self.corpus.hash
        self.first_phase = config.first_phase
        if self.first_phase is not None:
            self._first_source = self.make_source(
                self.shards["train"], self.first_phase.max_seq_length, self.masking
            )
        if not self.is_at_hand:
            self._fetch_ahead()

    def _shard_files(self, split: Split) -> list[ShardFile]:
        if isinstance(self.corpus, StoredCorpus):
            return [*self.corpus.shard_files(split)]
        return shard_files(self.corpus, split)

    def _fetch_ahead(self) -> None:
        """Lets the sources fetch the shards that they read next."""
        sources = {"train": [self.sources["train"]], "validation": [self.sources["validation"]]}
        if self.first_phase is not None:
            sources["train"].append(self._first_source)
        ahead = self.config.cache.ahead
        for split in SPLITS:
            files = self.shards[split]
            following = (
                partial(following_shards, len(files), self.seed, ahead)
                if split == "train"
                else partial(_following_in_order, len(files), ahead)
            )
            stored = [file for file in files if isinstance(file, StoredShardFile)]
            fetch_ahead = FetchAhead(stored, following)
            for source in sources[split]:
                if isinstance(source, PlannedSource):
                    source.fetch_ahead = fetch_ahead

    def _load_tokenizer(self) -> Tokenizer:
        self.corpus.check_tokenizer()
        tokenizer = load_tokenizer(self.corpus.tokenizer_file)
        largest, size = max(tokenizer.get_vocab().values()), self.corpus.manifest.vocab_size
        if largest + 1 != size:
            raise DataError(
                f"{self.corpus.tokenizer_file} has ids up to {largest}, but the manifest has "
                f"vocab_size={size}"
            )
        return tokenizer

    @abstractmethod
    def make_source(
        self, shards: Sequence[Path | ShardFile], max_seq_length: int, masking: MaskingRule
    ) -> Source:
        """Makes the source of a split, with samples of at most `max_seq_length` tokens."""

    def phases(self, max_steps: int, rank: int, world_size: int) -> list[Phase]:
        """Returns the phases of training: two with `first_phase`, else one.

        Raises:
            ConfigError: A micro-batch would be empty.
        """
        (last,) = super().phases(max_steps, rank, world_size)
        if self.first_phase is None:
            return [last]
        shape = replace(last.shape, micro_batch_size=self.first_phase.micro_batch_size)
        num_steps = round(self.first_phase.ratio * max_steps)
        return [Phase(self._first_source, shape), replace(last, first_step=num_steps)]

    @property
    def is_at_hand(self) -> bool:
        """Whether the corpus is a local folder."""
        return not isinstance(self.corpus, StoredCorpus)

    def steps_per_epoch(self) -> float:
        """Returns the number of optimizer steps per pass over the corpus.

        It is estimated from the first shard that has samples, which is fetched for that. With two
        phases, it is the mean over all steps.
        """
        last = self._steps_per_epoch(self.sources["train"])
        if self.first_phase is None:
            return last
        ratio = self.first_phase.ratio
        return 1 / (ratio / self._steps_per_epoch(self._first_source) + (1 - ratio) / last)

    def check_samples(self) -> None:
        """Checks that there is something to train on and to validate on.

        Raises:
            DataError: A split has no samples.
        """
        for split in SPLITS:
            if self.is_at_hand:
                shards = range(len(self.shards[split]))
                has_samples = any(self.sources[split].num_samples(0, shard) for shard in shards)
            else:
                # Without fetching a shard that may not be read for long.
                has_samples = self.makes_samples(self.corpus.manifest.splits[split])
            if not has_samples:
                raise DataError(f"{self.corpus.place}: the {split} split has {self.no_samples}")

    def makes_samples(self, counts: Counts) -> bool:
        """Whether documents with these counts make at least one sample."""
        return counts.tokens > 0

    def check_files(self) -> None:
        """Checks that the shards in use have not been cut.

        Raises:
            DataError: One has been.
        """
        for source in self.sources.values():
            if isinstance(source, PlannedSource):
                source.check_files()

    def facts(self) -> dict[str, str]:
        """Describes the cache of a stored corpus, and the phases, if there are two."""
        facts = {}
        if isinstance(self.corpus, StoredCorpus):
            facts["corpus"] = (
                f"{self.corpus.url}, with at most {self.config.cache.limit} of its shards in "
                f"{self.corpus.folder}"
            )
        if self.first_phase is None:
            return facts
        first = self.first_phase
        return facts | {
            "phases": f"{first.ratio:.0%} of the steps with at most {first.max_seq_length} tokens "
            f"per sample and micro-batches of {first.micro_batch_size}, then {self.max_seq_length} "
            f"and {self.micro_batch_size}"
        }

    def _masking_rule(self, config: Masking) -> MaskingRule:
        mask_token_id = self.special_tokens.mask
        if mask_token_id is None:
            raise DataError(
                f"{self.corpus.tokenizer_file} has no mask token, which masked words need; prepare "
                "the corpus with a tokenizer that names one, as mask_token in its "
                "tokenizer_config.json"
            )
        marks = self.word_marks() if config.whole_word_mask else None
        return MaskingRule(
            mask_token_id=mask_token_id,
            replacement_ids=replacement_ids(self.tokenizer, self.special_tokens),
            masked_lm_prob=config.masked_lm_prob,
            mask_token_prob=config.mask_token_prob,
            random_token_prob=config.random_token_prob,
            max_predictions_per_seq=config.max_predictions_per_seq,
            continues_word=marks.continues if marks else None,
            ends_word=marks.ends if marks else None,
        )

    def word_marks(self) -> WordMarks:
        """Returns which tokens of the vocabulary are inside a word.

        Raises:
            DataError: The tokenizer does not mark words.
        """
        self._marks = self._marks or word_marks(self.tokenizer, str(self.corpus.tokenizer_file))
        return self._marks

    def _steps_per_epoch(self, source: Source) -> float:
        train = self.corpus.manifest.splits["train"]
        for index, record in enumerate(train.shards):
            if num_samples := source.num_samples(0, index):
                share = train.tokens / record.tokens
                return num_samples * share / self.global_batch_size
        return 0.0


def following_shards(num_shards: int, seed: int, number: int, epoch: int, shard: int) -> list[int]:
    """Returns the shards that training reads after one of them, in this epoch and the next."""
    order = shard_order(num_shards, seed, epoch).tolist()
    later = order[order.index(shard) + 1 :]
    while len(later) < number:
        epoch += 1
        later += shard_order(num_shards, seed, epoch).tolist()
    return [int(each) for each in later[:number]]


def _following_in_order(num_shards: int, number: int, epoch: int, shard: int) -> list[int]:
    """Returns the shards that a validation reads after one of them."""
    return list(range(shard + 1, min(num_shards, shard + 1 + number)))


def replacement_ids(tokenizer: Tokenizer, special_tokens: SpecialTokens) -> np.ndarray:
    """Returns the ids that may replace a token: all except special tokens, ascending."""
    ids = np.array(sorted(tokenizer.get_vocab().values()))
    return ids[~np.isin(ids, special_tokens.ids)]
