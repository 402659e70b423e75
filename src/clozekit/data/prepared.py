"""What the DataModules of pretraining share: a prepared corpus and how its tokens are masked."""

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from clozekit.corpus.manifest import Corpus
from clozekit.corpus.shards import Shard
from clozekit.corpus.vocabulary import SpecialTokens, load_tokenizer
from clozekit.data.masking import MaskingRule
from clozekit.data.module import StreamDataModule
from clozekit.data.stream import Source


class CorpusDataModule(StreamDataModule):
    """Samples and masks drawn anew each epoch; in validation always those of epoch 0.

    Args:
        path: The folder that `clozekit prepare` wrote.
        seed: What order, samples and masks depend on.
        global_batch_size: Samples of an optimizer step, over all processes.
        micro_batch_size: The most samples of one forward pass.
        num_workers: Processes that build batches beside the training process.
        max_seq_length: The most tokens of a sample, special tokens included.
        short_seq_prob: The probability that a sample aims at a shorter length.
        masked_lm_prob: The share of tokens that is chosen.
        mask_token_prob: The share of the chosen that becomes [MASK].
        random_token_prob: The share of the chosen that becomes another token; the rest stays.
        max_predictions_per_seq: The most tokens chosen in a sequence; None for no limit.
        whole_word_mask: Whether all tokens of a word are chosen together.

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
        num_workers: int = 0,
        max_seq_length: int = 128,
        short_seq_prob: float = 0.1,
        masked_lm_prob: float = 0.15,
        mask_token_prob: float = 0.8,
        random_token_prob: float = 0.1,
        max_predictions_per_seq: int | None = None,
        whole_word_mask: bool = False,
    ) -> None:
        super().__init__(
            seed=seed,
            global_batch_size=global_batch_size,
            micro_batch_size=micro_batch_size,
            num_workers=num_workers,
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

    @abstractmethod
    def make_source(self, shards: Sequence[Path], max_seq_length: int) -> Source:
        """Makes the source of a split's samples, of at most so many tokens."""

    def steps_per_epoch(self) -> float:
        """Gives the optimizer steps of a pass over the corpus, judged by its first shard."""
        first = Shard.open(self.corpus.shards("train")[0])
        num_tokens = self.corpus.manifest.splits["train"].tokens
        num_samples = (
            self.sources["train"].num_samples(0, 0) * num_tokens / max(1, first.num_tokens)
        )
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
