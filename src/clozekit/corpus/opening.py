"""Opens a corpus by its path or URL. A local one does not need heavy imports."""

from pathlib import Path

from clozekit.config.cache import CacheConfig
from clozekit.corpus.manifest import Corpus
from clozekit.urls import is_url


def open_corpus(path: str, cache: CacheConfig) -> Corpus:
    """Opens a corpus by its folder's path or URL.

    Args:
        path: The path, or the URL in an object store.
        cache: Where the shards of a URL are kept.

    Raises:
        DataError: It is not a complete corpus, or cannot be read.
    """
    if not is_url(path):
        return Corpus.open(Path(path))
    from clozekit.corpus.stored_corpus import StoredCorpus

    return StoredCorpus.at(path, cache)
