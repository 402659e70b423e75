"""A byte-level BPE vocabulary, as in GPT-2 and ModernBERT, trained on the training documents."""

from collections import Counter
from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer

from clozekit.config.prepare import BPEConfig
from clozekit.corpus.tokenizers.special_tokens import SPECIAL_TOKENS
from clozekit.corpus.tokenizers.vocabulary import (
    MAX_WORD_LENGTH,
    MIN_FREQUENCY,
    bert_template,
    repetitions,
)
from clozekit.corpus.tokenizers.word_cache import Words


def count_byte_words(
    sentences: pa.StringArray, begins_text: NDArray[np.bool_], config: BPEConfig
) -> dict[str, int]:
    """Counts the words of sentences, in the alphabet that stands for bytes.

    Args:
        sentences: `[sentences]`; their whitespace must be single spaces.
        begins_text: `[sentences]`. Whether each is the first of its document; the others are
            counted as after a space.
        config: How text is normalized.
    """
    normalizer, pre_tokenizer = _normalizer(config), _pre_tokenizer(config)
    spaces = pc.if_else(pa.array(begins_text), "", " ")
    words = Words.spaced(pc.binary_join_element_wise(spaces, sentences, ""))
    occurrences = np.bincount(words.indices, minlength=len(words.distinct)).tolist()
    counts: Counter[str] = Counter()
    for text, count in zip(words.distinct, occurrences, strict=True):
        if not text:
            continue  # what is before the first space
        for word, _ in pre_tokenizer.pre_tokenize_str(normalizer.normalize_str(text)):
            if len(word) <= MAX_WORD_LENGTH:
                counts[word] += count
    return counts


def train_byte_level(counts: Mapping[str, int], config: BPEConfig) -> Tokenizer:
    """Trains a byte-level BPE tokenizer on words and their counts.

    The library's trainer orders characters by their code and merges by their counts, so the result
    depends on the counts alone.
    """
    trainer = BpeTrainer(
        vocab_size=config.vocab_size,
        min_frequency=MIN_FREQUENCY,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer = Tokenizer(BPE())
    # The words are in the alphabet of bytes already, which has no space.
    tokenizer.pre_tokenizer = pre_tokenizers.CharDelimiterSplit(" ")
    tokenizer.train_from_iterator(repetitions(sorted(counts.items())), trainer)
    tokenizer.normalizer = _normalizer(config)
    tokenizer.pre_tokenizer = _pre_tokenizer(config)
    tokenizer.decoder = decoders.ByteLevel()
    trim = processors.ByteLevel(trim_offsets=True)
    tokenizer.post_processor = processors.Sequence([trim, bert_template(tokenizer)])
    return tokenizer


def _normalizer(config: BPEConfig) -> normalizers.Normalizer:
    if not config.lowercase:
        return normalizers.NFC()
    return normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])


def _pre_tokenizer(config: BPEConfig) -> pre_tokenizers.ByteLevel:
    return pre_tokenizers.ByteLevel(add_prefix_space=config.add_prefix_space)
