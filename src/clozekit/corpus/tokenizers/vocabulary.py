"""The WordPiece vocabulary, trained on the training documents or read from a file."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import WordPiece
from tokenizers.trainers import WordPieceTrainer

from clozekit.config.prepare import WordPieceConfig
from clozekit.corpus.tokenizers.special_tokens import ROLES, SPECIAL_TOKENS, with_roles
from clozekit.corpus.tokenizers.word_cache import Words
from clozekit.errors import DataError

_CONTINUATION = "##"
# As in google-research/bert's tokenization.py, longer words are [UNK] and not used for training.
MAX_WORD_LENGTH = 100
# As in BertWordPieceTokenizer of the tokenizers library: pairs that occur once are not merged.
MIN_FREQUENCY = 2
_REPETITIONS_AT_ONCE = 4_096


def count_words(sentences: pa.StringArray, config: WordPieceConfig) -> dict[str, int]:
    """Counts the words of sentences, normalized as the tokenizer does.

    Args:
        sentences: `[sentences]`; their whitespace must be single spaces.
        config: How text is normalized.
    """
    normalizer = bert_normalizer(
        config.lowercase, config.strip_accents, config.handle_chinese_chars
    )
    pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    words = Words.split(sentences, normalizer)
    occurrences = np.bincount(words.indices, minlength=len(words.distinct)).tolist()
    counts: Counter[str] = Counter()
    for text, count in zip(words.distinct, occurrences, strict=True):
        for word, _ in pre_tokenizer.pre_tokenize_str(normalizer.normalize_str(text)):
            if len(word) <= MAX_WORD_LENGTH:
                counts[word] += count
    return counts


def train_from_counts(counts: Mapping[str, int], config: WordPieceConfig) -> Tokenizer:
    """Trains a WordPiece tokenizer on normalized words and their counts.

    The library's trainer assigns ids to characters in the order of a hash map. This order differs
    between runs, and so do merges with equal counts. All characters are therefore passed in a fixed
    order as special tokens, and a separate tokenizer is made from the resulting vocabulary.
    """
    alphabet = _alphabet(counts, config)
    # Words with other characters are always [UNK].
    spelled = sorted((word, count) for word, count in counts.items() if alphabet.issuperset(word))
    continuing = {character for word, _ in spelled for character in word[1:]}
    first_tokens = [
        *SPECIAL_TOKENS,
        *sorted(alphabet),
        *(_CONTINUATION + character for character in sorted(continuing)),
    ]
    trainer = WordPieceTrainer(
        vocab_size=config.vocab_size,
        min_frequency=MIN_FREQUENCY,
        special_tokens=first_tokens,
        limit_alphabet=len(alphabet),
        continuing_subword_prefix=_CONTINUATION,
        show_progress=False,
    )
    learner = Tokenizer(WordPiece({}, unk_token="[UNK]"))
    learner.pre_tokenizer = pre_tokenizers.CharDelimiterSplit(" ")
    learner.train_from_iterator(repetitions(spelled), trainer)
    normalizer = bert_normalizer(
        config.lowercase, config.strip_accents, config.handle_chinese_chars
    )
    return bert_tokenizer(learner.get_vocab(), normalizer, "the trained vocabulary")


def bert_tokenizer(
    vocabulary: dict[str, int],
    normalizer: normalizers.BertNormalizer,
    name: str,
    roles: Mapping[str, str] | None = None,
) -> Tokenizer:
    """Makes a tokenizer that works like BERT's.

    Args:
        vocabulary: The id of each WordPiece.
        normalizer: How text is normalized.
        name: The vocabulary's name for error messages.
        roles: The tokens of roles, such as `mask`, that are not called as in BERT.

    Raises:
        DataError: The vocabulary lacks a special token.
    """
    tokens = {**dict(zip(ROLES, SPECIAL_TOKENS, strict=True)), **(roles or {})}
    names = [tokens[role] for role in ROLES]
    if missing := [token for token in names if token not in vocabulary]:
        raise DataError(f"{name} lacks {', '.join(missing)}; {', '.join(names)} are required")
    tokenizer = Tokenizer(
        WordPiece(
            vocabulary,
            unk_token=tokens["unk"],
            continuing_subword_prefix=_CONTINUATION,
            max_input_chars_per_word=MAX_WORD_LENGTH,
        )
    )
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix=_CONTINUATION)
    tokenizer.post_processor = bert_template(tokenizer, tokens["cls"], tokens["sep"])
    tokenizer.add_special_tokens(names)
    return with_roles(tokenizer, roles or {}, name)


def bert_normalizer(
    lowercase: bool, strip_accents: bool | None, handle_chinese_chars: bool
) -> normalizers.BertNormalizer:
    """Makes the normalizer of BERT."""
    return normalizers.BertNormalizer(
        lowercase=lowercase,
        strip_accents=strip_accents,
        handle_chinese_chars=handle_chinese_chars,
    )


def bert_template(tokenizer: Tokenizer, cls: str = "[CLS]", sep: str = "[SEP]") -> Any:
    """Makes the post-processor of BERT, which puts special tokens around one or two texts."""
    return processors.TemplateProcessing(
        single=f"{cls} $A {sep}",
        pair=f"{cls} $A {sep} $B:1 {sep}:1",
        special_tokens=[(token, tokenizer.token_to_id(token)) for token in (cls, sep)],
    )


def _alphabet(counts: Mapping[str, int], config: WordPieceConfig) -> set[str]:
    """Returns the most frequent characters that cover the configured fraction of the text.

    Each character may need two tokens, one at the start of a word and one inside, and all must fit
    into the vocabulary.
    """
    occurrences: Counter[str] = Counter()
    for word, count in counts.items():
        for character in word:
            occurrences[character] += count
    by_frequency = sorted(occurrences.items(), key=lambda item: (-item[1], item[0]))
    covered = np.cumsum([count for _, count in by_frequency])
    wanted = config.character_coverage * occurrences.total()
    size = min(
        int(np.searchsorted(covered, wanted)) + 1, (config.vocab_size - len(SPECIAL_TOKENS)) // 2
    )
    return {character for character, _ in by_frequency[:size]}


def repetitions(counts: Iterable[tuple[str, int]]) -> Iterator[str]:
    """Repeats each word as often as it occurs, because the trainer does not accept counts."""
    for word, count in counts:
        for first in range(0, count, _REPETITIONS_AT_ONCE):
            yield " ".join([word] * min(_REPETITIONS_AT_ONCE, count - first))
