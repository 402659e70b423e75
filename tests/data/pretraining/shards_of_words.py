"""Shards of made-up words, for tests of what is made of shards."""

from pathlib import Path

import numpy as np

from clozekit.corpus.shards import write_shard
from clozekit.corpus.tokenizers.special_tokens import SpecialTokens
from clozekit.data.pretraining.full_sentences_source import FullSentencesSource
from clozekit.data.pretraining.masking import MaskingRule
from clozekit.data.pretraining.pair_source import PairRule, PretrainingSource
from clozekit.data.sequence_format import SequenceFormat

VOCAB_SIZE = 1000
SPECIAL_TOKENS = SpecialTokens(pad=0, unk=1, cls=2, sep=3, mask=4)
SPECIAL = SequenceFormat.of_bert(cls_id=2, sep_id=3)
REPLACEMENTS = np.arange(5, VOCAB_SIZE)


def draw_offsets(
    num_documents: int, seed: int = 0, mean_sentences: float = 12, mean_tokens: float = 22
) -> tuple[np.ndarray, np.ndarray]:
    """Draws sentence and document offsets with the spread of real text."""
    generator = np.random.default_rng(seed)
    sentences = generator.geometric(1 / mean_sentences, num_documents)
    lengths = generator.lognormal(np.log(mean_tokens), 0.7, sentences.sum()).astype(int) + 1
    return np.append(0, np.cumsum(lengths)), np.append(0, np.cumsum(sentences))


def write_words(path: Path, num_documents: int, seed: int = 0, **sizes: float) -> Path:
    sentence_offsets, document_offsets = draw_offsets(num_documents, seed, **sizes)
    # Every token stands once in 995, so a token's id does not tell its place.
    tokens = np.random.default_rng(seed).integers(5, VOCAB_SIZE, sentence_offsets[-1])
    ids = [f"{path.stem}-{number}" for number in range(num_documents)]
    write_shard(path, ids, tokens.astype(np.uint16), sentence_offsets, document_offsets)
    return path


def masking_rule(**changes: object) -> MaskingRule:
    return MaskingRule(mask_token_id=SPECIAL_TOKENS.mask, replacement_ids=REPLACEMENTS, **changes)


def source_of(paths: list[Path], max_seq_length: int = 128, **masking: object) -> PretrainingSource:
    return PretrainingSource(
        paths,
        PairRule(max_seq_length=max_seq_length, short_seq_prob=0.1),
        masking_rule(**masking),
        SPECIAL,
        seed=7,
    )


def full_sentences_of(
    paths: list[Path], max_seq_length: int = 128, short_seq_prob: float = 0.1, **masking: object
) -> FullSentencesSource:
    return FullSentencesSource(
        paths, max_seq_length, short_seq_prob, masking_rule(**masking), SPECIAL, seed=7
    )
