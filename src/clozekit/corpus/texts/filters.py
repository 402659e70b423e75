"""Rules that a document must meet, after Gopher (Rae et al., 2021, appendix A.1.1)."""

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import compress, pairwise, repeat
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from clozekit.config.filters import FiltersConfig
from clozekit.corpus.texts.languages import identify_language
from clozekit.corpus.texts.normalized_words import normalized_words
from clozekit.corpus.tokenized import TokenizedDocuments

UNKNOWN_RULE = "max_unknown_fraction"
"""The only rule that is checked after tokenization."""
_RULES_WITHOUT_WORDS = {
    *(UNKNOWN_RULE, "max_duplicate_sentence_fraction", "language", "min_language_score"),
}
_CHARACTERS_AT_ONCE = 1 << 20
_DocumentT = TypeVar("_DocumentT", bound=tuple[Any, list[str]])


class Filter:
    """Leaves out the documents that do not meet the rules, and counts them.

    Args:
        config: The rules. `max_unknown_fraction` needs tokens, see `has_known_tokens`.

    Attributes:
        counts: The number of documents by the first rule that they do not meet.
    """

    def __init__(self, config: FiltersConfig) -> None:
        self.counts: Counter[str] = Counter()
        self._config = config
        self._rules = config.model_dump(exclude_none=True, exclude={UNKNOWN_RULE}).keys()

    def __call__(self, documents: Iterable[_DocumentT]) -> Iterator[_DocumentT]:
        """Yields the documents that meet the rules, each with its sentences as the last item."""
        if not self._rules:
            yield from documents
            return
        for batch in _batches(documents):
            all_sentences = [document[-1] for document in batch]
            rules = failed_rules(all_sentences, self._config)
            self.counts.update(rule for rule in rules if rule is not None)
            kept = (rule is None for rule in rules)
            yield from compress(batch, kept)


def failed_rules(documents: list[list[str]], filters: FiltersConfig) -> list[str | None]:
    """Returns for each document, a list of sentences, the first rule that it does not meet."""
    all_words: Iterable[list[str]] = repeat([])
    if filters.model_dump(exclude_none=True, exclude=_RULES_WITHOUT_WORDS):
        all_words = _words(documents)
    # Only the documents determine the number.
    pairs = zip(documents, all_words, strict=False)
    return [next(_failed_rules(*pair, filters), None) for pair in pairs]


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


def _batches(documents: Iterable[_DocumentT]) -> Iterator[list[_DocumentT]]:
    """Splits documents into batches, whose words are found in one go."""
    batch: list[_DocumentT] = []
    characters = 0
    for document in documents:
        batch.append(document)
        characters += sum(map(len, document[-1]))
        if characters >= _CHARACTERS_AT_ONCE:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch


def _failed_rules(sentences: list[str], words: list[str], filters: FiltersConfig) -> Iterator[str]:
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


def _words(documents: list[list[str]]) -> Iterator[list[str]]:
    distinct, indices, offsets = normalized_words(pa.array(documents, pa.list_(pa.string())))
    words = np.array(distinct, object)
    for first, last in pairwise(offsets):
        yield words[indices[first:last]].tolist()


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
