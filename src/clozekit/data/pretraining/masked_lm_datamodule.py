"""The DataModule of MLM without NSP: full sentences, packed to a length, from a corpus."""

from collections.abc import Sequence
from pathlib import Path

from clozekit.corpus.shard_files import ShardFile
from clozekit.data.pretraining.corpus_datamodule import CorpusDataModule
from clozekit.data.pretraining.full_sentences_source import FullSentencesSource
from clozekit.data.pretraining.masking import MaskingRule


class MaskedLMDataModule(CorpusDataModule):
    """Full sentences for MLM: a sample is a run of sentences, with one sequence per document.

    `global_batch_size` and `micro_batch_size` count samples. The options are those of
    `CorpusDataModule`.
    """

    def make_source(
        self, shards: Sequence[Path | ShardFile], max_seq_length: int, masking: MaskingRule
    ) -> FullSentencesSource:
        """Makes the source of a split's samples."""
        return FullSentencesSource(
            shards,
            max_seq_length,
            self.config.short_seq_prob,
            masking,
            self.special,
            self.seed,
        )

    def facts(self) -> dict[str, str]:
        """Describes the samples of the first shard in epoch 0; not of one that must be fetched."""
        if not self.is_local:
            return super().facts()
        source = self.sources["train"]
        assert isinstance(source, FullSentencesSource)
        plan = source.plan(0, 0)
        num_sequences, num_samples = len(plan.start), max(1, len(plan))
        num_tokens = int(plan.num_text_tokens.sum()) + source.num_special_tokens * num_sequences
        return super().facts() | {
            "samples": f"{len(plan):,} in the first of {source.num_shards} shards, with a mean of "
            f"{num_sequences / num_samples:.1f} sequences and {num_tokens / num_samples:.0f} "
            f"tokens; {plan.num_cut_sentences:,} sentences split to fit",
        }
