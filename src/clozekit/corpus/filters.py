"""Rules that a document must meet, after Gopher (Rae et al., 2021, appendix A.1.1)."""

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from clozekit.config.filters import FiltersConfig
from clozekit.corpus.languages import identify_language
from clozekit.corpus.normalized_words import normalized_words
from clozekit.corpus.tokenized import TokenizedDocuments

UNKNOWN_RULE = "max_unknown_fraction"
"""The only rule that is checked after tokenization."""


def failed_rule(sentences: list[str], filters: FiltersConfig) -> str | None:
    """Returns the first rule that a document does not meet, or None.

    `max_unknown_fraction` needs tokens, see `has_known_tokens`.
    """
    if not filters.model_dump(exclude_none=True, exclude={UNKNOWN_RULE}):
        return None
    return next(_failed_rules(sentences, filters), None)


def has_known_tokens(
    documents: TokenizedDocuments, unknown: int, max_unknown_fraction: float
) -> NDArray[np.bool_]:
    """Returns `[documents]`: whether few enough of a document's tokens are unknown.

    Args:
        documents: Documents, each with tokens.
        unknown: The id of [UNK].
        max_unknown_fraction: The maximum fraction of unknown tokens.
    """
    bounds = documents.sentence_offsets[documents.document_offsets]
    before = np.concatenate([[0], np.cumsum(documents.tokens == unknown)])
    known: NDArray[np.bool_] = np.diff(before[bounds]) <= max_unknown_fraction * np.diff(bounds)
    return known


def _failed_rules(sentences: list[str], filters: FiltersConfig) -> Iterator[str]:
    words = _words(sentences)
    if filters.min_words is not None and len(words) < filters.min_words:
        yield "min_words"
    if filters.max_words is not None and len(words) > filters.max_words:
        yield "max_words"
    limit = filters.max_symbol_word_ratio
    if limit is not None and _count_symbols(sentences) > limit * len(words):
        yield "max_symbol_word_ratio"
    limit = filters.max_duplicate_sentence_fraction
    if limit is not None and len(sentences) - len(set(sentences)) > limit * len(sentences):
        yield "max_duplicate_sentence_fraction"
    for size in (2, 3, 4):
        limit = getattr(filters, f"max_top_{size}_gram_fraction")
        if limit is not None and _top_ngram_fraction(words, size) > limit:
            yield f"max_top_{size}_gram_fraction"
    if filters.language is not None:
        language, score = identify_language(" ".join(sentences))
        if language != filters.language:
            yield "language"
        if score < (filters.min_language_score or 0):
            yield "min_language_score"


def _words(sentences: list[str]) -> list[str]:
    distinct, indices, _ = normalized_words(pa.array([sentences], pa.list_(pa.string())))
    return [distinct[index] for index in indices]


def _count_symbols(sentences: list[str]) -> int:
    """Returns the number of hash signs or that of ellipses, whichever is larger."""
    hashes = sum(sentence.count("#") for sentence in sentences)
    ellipses = sum(sentence.count("...") + sentence.count("…") for sentence in sentences)
    return max(hashes, ellipses)


def _top_ngram_fraction(words: list[str], size: int) -> float:
    """Returns the fraction of letters in the most frequent n-gram, 0 if none is repeated.

    Of several that are equally frequent, it is the longest.
    """
    ngrams = Counter(zip(*(words[start:] for start in range(size)), strict=False))
    count, letters = max(
        ((count, sum(map(len, ngram))) for ngram, count in ngrams.items()), default=(0, 0)
    )
    return count * letters / sum(map(len, words)) if count > 1 else 0.0
