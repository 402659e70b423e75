"""The WordPiece vocabulary: trained on the training documents, or an existing one."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from itertools import islice
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import WordPiece
from tokenizers.trainers import WordPieceTrainer

from clozekit.config.prepare import WordPieceConfig
from clozekit.corpus.word_cache import Words
from clozekit.errors import DataError

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_CONTINUATION = "##"
# As in google-research/bert's tokenization.py, longer words are [UNK] and not used for training.
_MAX_WORD_LENGTH = 100
# As in BertWordPieceTokenizer of the tokenizers library: pairs that occur once are not merged.
_MIN_FREQUENCY = 2
_TEXTS_AT_ONCE = 10_000
_REPETITIONS_AT_ONCE = 4_096


@dataclass(frozen=True)
class SpecialTokens:
    """The ids of the five special tokens.

    Attributes:
        pad: [PAD], which fills up shorter sequences.
        unk: [UNK], for words that the vocabulary cannot represent.
        cls: [CLS], at the start of a sequence.
        sep: [SEP], after each segment.
        mask: [MASK], which replaces tokens to predict.
    """

    pad: int
    unk: int
    cls: int
    sep: int
    mask: int

    @classmethod
    def from_tokenizer(cls, tokenizer: Tokenizer, name: str = "the tokenizer") -> Self:
        """Looks up the special tokens.

        Args:
            tokenizer: The tokenizer.
            name: The tokenizer's name for error messages.

        Raises:
            DataError: The vocabulary lacks one of them.
        """
        ids: dict[str, Any] = {token: tokenizer.token_to_id(token) for token in SPECIAL_TOKENS}
        if missing := [token for token, token_id in ids.items() if token_id is None]:
            raise DataError(
                f"{name} lacks {', '.join(missing)}; {', '.join(SPECIAL_TOKENS)} are required"
            )
        return cls(*(ids[f"[{field.name.upper()}]"] for field in fields(cls)))


def train_wordpiece(texts: Iterator[str], config: WordPieceConfig) -> Tokenizer:
    """Trains a WordPiece tokenizer. The result does not depend on the order of the texts.

    Args:
        texts: The training texts.
        config: The size of the vocabulary, and how text is normalized.
    """
    counts: Counter[str] = Counter()
    while batch := [" ".join(text.split()) for text in islice(texts, _TEXTS_AT_ONCE)]:
        counts.update(count_words(pa.array(batch, pa.string()), config))
    return train_from_counts(counts, config)


def count_words(sentences: pa.StringArray, config: WordPieceConfig) -> dict[str, int]:
    """Counts the words of sentences, normalized as the tokenizer does.

    Args:
        sentences: `[sentences]`; their whitespace must be single spaces.
        config: How text is normalized.
    """
    normalizer = _normalizer(config.lowercase, config.strip_accents, config.handle_chinese_chars)
    pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    words = Words.split(sentences, normalizer)
    occurrences = np.bincount(words.indices, minlength=len(words.distinct)).tolist()
    counts: Counter[str] = Counter()
    for text, count in zip(words.distinct, occurrences, strict=True):
        for word, _ in pre_tokenizer.pre_tokenize_str(normalizer.normalize_str(text)):
            if len(word) <= _MAX_WORD_LENGTH:
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
        min_frequency=_MIN_FREQUENCY,
        special_tokens=first_tokens,
        limit_alphabet=len(alphabet),
        continuing_subword_prefix=_CONTINUATION,
        show_progress=False,
    )
    learner = Tokenizer(WordPiece({}, unk_token="[UNK]"))
    learner.pre_tokenizer = pre_tokenizers.CharDelimiterSplit(" ")
    learner.train_from_iterator(_repetitions(spelled), trainer)
    normalizer = _normalizer(config.lowercase, config.strip_accents, config.handle_chinese_chars)
    return _bert_tokenizer(learner.get_vocab(), normalizer, "the trained vocabulary")


def load_tokenizer(
    path: Path,
    lowercase: bool | None = None,
    strip_accents: bool | None = None,
    handle_chinese_chars: bool | None = None,
) -> Tokenizer:
    """Loads a `vocab.txt` (one WordPiece per line) or a `tokenizer.json`.

    Args:
        path: The file.
        lowercase: For a `vocab.txt`, whether to lowercase text; None means true.
        strip_accents: For a `vocab.txt`, whether to remove accents; None means the value of
            `lowercase`.
        handle_chinese_chars: For a `vocab.txt`, whether to treat each Chinese character as a
            separate word; None means true.

    Raises:
        DataError: The file does not exist, or is not a tokenizer with the five special tokens.
    """
    if not path.is_file():
        raise DataError(f"the tokenizer {path} does not exist")
    if path.suffix == ".json":
        return _load_json(path)
    normalizer = _normalizer(
        lowercase is not False, strip_accents, handle_chinese_chars is not False
    )
    return _bert_tokenizer(_read_vocabulary(path), normalizer, str(path))


def _load_json(path: Path) -> Tokenizer:
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise DataError(f"{path} is not a tokenizer.json: it is not UTF-8") from None
    return tokenizer_from_json(text, str(path))


def tokenizer_from_json(text: str, name: str) -> Tokenizer:
    """Reads a tokenizer from JSON.

    Args:
        text: The JSON.
        name: The tokenizer's name for error messages.

    Raises:
        DataError: It is not a tokenizer with the five special tokens.
    """
    try:
        tokenizer = Tokenizer.from_str(text)
    except Exception as error:  # The library raises plain `Exception`.
        raise DataError(f"{name} is not a tokenizer.json: {error}") from None
    special = SpecialTokens.from_tokenizer(tokenizer, name)
    # The file may enable these, which would truncate or pad every sentence.
    tokenizer.no_truncation()
    tokenizer.no_padding()
    if tokenizer.post_processor is None:
        tokenizer.post_processor = _template(special)
    return tokenizer


def _read_vocabulary(path: Path) -> dict[str, int]:
    vocabulary: dict[str, int] = {}
    try:
        lines = path.read_bytes().decode("utf-8-sig").replace("\r\n", "\n").split("\n")
    except UnicodeDecodeError:
        raise DataError(f"{path} is not a vocab.txt: it is not UTF-8") from None
    # A final newline does not start another token.
    for number, token in enumerate(lines if lines[-1] else lines[:-1], start=1):
        if token in vocabulary:
            raise DataError(f"{path}:{number}: duplicate token {token!r}")
        vocabulary[token] = number - 1
    return vocabulary


def _bert_tokenizer(
    vocabulary: dict[str, int], normalizer: normalizers.BertNormalizer, name: str
) -> Tokenizer:
    tokenizer = Tokenizer(
        WordPiece(
            vocabulary,
            unk_token="[UNK]",
            continuing_subword_prefix=_CONTINUATION,
            max_input_chars_per_word=_MAX_WORD_LENGTH,
        )
    )
    special = SpecialTokens.from_tokenizer(tokenizer, name)
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece(prefix=_CONTINUATION)
    tokenizer.post_processor = _template(special)
    tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
    return tokenizer


def _normalizer(
    lowercase: bool, strip_accents: bool | None, handle_chinese_chars: bool
) -> normalizers.BertNormalizer:
    return normalizers.BertNormalizer(
        lowercase=lowercase,
        strip_accents=strip_accents,
        handle_chinese_chars=handle_chinese_chars,
    )


def _template(special: SpecialTokens) -> Any:
    return processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", special.cls), ("[SEP]", special.sep)],
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


def _repetitions(counts: Iterable[tuple[str, int]]) -> Iterator[str]:
    """Repeats each word as often as it occurs, because the trainer does not accept counts."""
    for word, count in counts:
        for first in range(0, count, _REPETITIONS_AT_ONCE):
            yield " ".join([word] * min(_REPETITIONS_AT_ONCE, count - first))
