"""The DataModule of MLM and NSP: masked sentence pairs from a prepared corpus."""

from collections.abc import Sequence
from pathlib import Path

from clozekit.config.data import PairDataConfig
from clozekit.corpus.manifest import Counts
from clozekit.corpus.shard_files import ShardFile
from clozekit.data.pretraining.corpus_datamodule import CorpusDataModule
from clozekit.data.pretraining.masking import MaskingRule
from clozekit.data.pretraining.pair_source import PairRule, PretrainingSource


class PretrainingDataModule(CorpusDataModule):
    """Pairs for MLM and NSP or sentence order: a sample is a pair."""

    config_class = PairDataConfig
    config: PairDataConfig

    no_samples = (
        "no sentence pairs: each of its documents has only one sentence; prepare it with "
        "source.sentences=split, or train on masked words only with task=masked_lm data=masked_lm"
    )

    def make_source(
        self, shards: Sequence[Path | ShardFile], max_seq_length: int, masking: MaskingRule
    ) -> PretrainingSource:
        """Makes the source of a split's pairs."""
        config = self.config
        pairs = PairRule(max_seq_length, config.short_seq_prob, config.pair_objective)
        return PretrainingSource(shards, pairs, masking, self.special, self.seed)

    def makes_samples(self, counts: Counts) -> bool:
        """Whether a document has two sentences, and so a pair."""
        return counts.sentences > counts.documents

    @property
    def is_of_order(self) -> bool:
        """Whether the pairs are of sentence order."""
        return self.config.pair_objective == "sentence_order"

    def facts(self) -> dict[str, str]:
        """Describes the pairs of the first shard in epoch 0; not of one that must be fetched."""
        if not self.is_local:
            return super().facts()
        source = self.sources["train"]
        assert isinstance(source, PretrainingSource)
        plan = source.plan(0, 0)
        num_tokens = int(plan.num_text_tokens.sum())
        random = float(plan.next_sentence_label.mean()) if len(plan) else 0.0
        cut = plan.num_truncated_tokens / max(1, num_tokens + plan.num_truncated_tokens)
        return super().facts() | {
            "pairs": f"{len(plan):,} in the first of {source.num_shards} shards, "
            f"{random:.1%} {'swapped' if self.is_of_order else 'random'}",
            "text left out": f"{plan.num_lone_sentences:,} sentences without a partner, "
            f"{cut:.1%} of the tokens truncated to fit",
        }
