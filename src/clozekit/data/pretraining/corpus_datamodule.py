"""What the DataModules of pretraining share: a prepared corpus and how its tokens are masked."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from clozekit.config.train import PhaseConfig
from clozekit.corpus.manifest import Corpus
from clozekit.corpus.shards import Shard
from clozekit.corpus.vocabulary import SpecialTokens, load_tokenizer
from clozekit.data.module import StreamDataModule
from clozekit.data.pretraining.masking import MaskingRule
from clozekit.data.stream import Phase, Source


class CorpusDataModule(StreamDataModule):
    """Samples and masks drawn anew each epoch; in validation always those of epoch 0.

    Args:
        path: The folder that `clozekit prepare` wrote.
        seed: What order, samples and masks depend on.
        global_batch_size: Samples of an optimizer step, over all processes.
        micro_batch_size: The most samples of one forward pass.
        num_workers: Processes that build batches beside the training process; None for none on the
            CPU, and for a core each on other devices, at most 4.
        prefetch_factor: The batches that each of them builds ahead; None for torch's own number.
        max_seq_length: The most tokens of a sample, special tokens included.
        short_seq_prob: The probability that a sample aims at a shorter length.
        masked_lm_prob: The share of tokens that is chosen.
        mask_token_prob: The share of the chosen that becomes [MASK].
        random_token_prob: The share of the chosen that becomes another token; the rest stays.
        max_predictions_per_seq: The most tokens chosen in a sequence; None for no limit.
        whole_word_mask: Whether all tokens of a word are chosen together.
        first_phase: The beginning of training, where that has shorter samples, by the keys of
            `PhaseConfig`; None for samples of one length.

    Raises:
        DataError: The folder holds no corpus.
    """

    def __init__(
        self,
        path: str,
        *,
        seed: int,
        global_batch_size: int,
        micro_batch_size: int,
        num_workers: int | None = None,
        prefetch_factor: int | None = None,
        max_seq_length: int = 128,
        short_seq_prob: float = 0.1,
        masked_lm_prob: float = 0.15,
        mask_token_prob: float = 0.8,
        random_token_prob: float = 0.1,
        max_predictions_per_seq: int | None = None,
        whole_word_mask: bool = False,
        first_phase: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(
            seed=seed,
            global_batch_size=global_batch_size,
            micro_batch_size=micro_batch_size,
            num_workers=num_workers,
            prefetch_factor=prefetch_factor,
            max_seq_length=max_seq_length,
        )
        self.corpus = Corpus.open(Path(path))
        self.tokenizer = load_tokenizer(self.corpus.tokenizer_file)
        self.special_tokens = SpecialTokens.from_tokenizer(self.tokenizer)
        self.short_seq_prob = short_seq_prob
        self.masking = MaskingRule(
            mask_token_id=self.special_tokens.mask,
            replacement_ids=replacement_ids(self.tokenizer, self.special_tokens),
            masked_lm_prob=masked_lm_prob,
            mask_token_prob=mask_token_prob,
            random_token_prob=random_token_prob,
            max_predictions_per_seq=max_predictions_per_seq,
            continues_word=continues_word(self.tokenizer) if whole_word_mask else None,
        )
        for split in ("train", "validation"):
            self.sources[split] = self.make_source(self.corpus.shards(split), max_seq_length)
        self.data_hash = self.corpus.hash
        self.first_phase = None
        if first_phase is not None:
            self.first_phase = PhaseConfig.model_validate(first_phase)
            self._first_source = self.make_source(
                self.corpus.shards("train"), self.first_phase.max_seq_length
            )

    @abstractmethod
    def make_source(self, shards: Sequence[Path], max_seq_length: int) -> Source:
        """Makes the source of a split's samples, of at most so many tokens."""

    def phases(self, max_steps: int, rank: int, world_size: int) -> list[Phase]:
        """Gives the phases of a training of so many steps on so many processes: one, or two.

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
    def micro_batch_tokens(self) -> int:
        """The most tokens of one forward pass, of either phase."""
        largest = super().micro_batch_tokens
        if self.first_phase is None:
            return largest
        size = min(self.first_phase.micro_batch_size, self.global_batch_size)
        return max(largest, size * self.first_phase.max_seq_length)

    def steps_per_epoch(self) -> float:
        """Gives the optimizer steps of a pass over the corpus, judged by its first shard.

        In a training of two phases, it is the mean over its steps.
        """
        last = self._steps_per_epoch(self.sources["train"])
        if self.first_phase is None:
            return last
        ratio = self.first_phase.ratio
        return 1 / (ratio / self._steps_per_epoch(self._first_source) + (1 - ratio) / last)

    def facts(self) -> dict[str, str]:
        """Tells of the phases, if there are two."""
        if self.first_phase is None:
            return {}
        first = self.first_phase
        return {
            "phases": f"{first.ratio:.0%} of the steps with at most {first.max_seq_length} tokens "
            f"a sample, micro-batches of {first.micro_batch_size}; then {self.max_seq_length} and "
            f"{self.micro_batch_size}"
        }

    def _steps_per_epoch(self, source: Source) -> float:
        first = Shard.open(self.corpus.shards("train")[0])
        num_tokens = self.corpus.manifest.splits["train"].tokens
        num_samples = source.num_samples(0, 0) * num_tokens / max(1, first.num_tokens)
        return num_samples / self.global_batch_size


def replacement_ids(tokenizer: Tokenizer, special_tokens: SpecialTokens) -> np.ndarray:
    """Lists the ids that may replace a token: all but the special ones, ascending."""
    ids = np.arange(tokenizer.get_vocab_size())
    return ids[~np.isin(ids, list(vars(special_tokens).values()))]


def continues_word(tokenizer: Tokenizer) -> np.ndarray:
    """Tells of every id, `[vocab]`, whether its WordPiece continues a word."""
    return np.array(
        [
            (tokenizer.id_to_token(token_id) or "").startswith("##")
            for token_id in range(tokenizer.get_vocab_size())
        ]
    )
