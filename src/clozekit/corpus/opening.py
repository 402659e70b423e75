"""Opens a corpus by its path or URL. A local one does not need heavy imports."""

from collections.abc import Mapping
from pathlib import Path

from clozekit.config.cache import CacheConfig
from clozekit.corpus.manifest import TOKENIZER_FILE, Corpus
from clozekit.errors import DataError
from clozekit.storage.urls import is_url


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


def open_corpora(paths: Mapping[str, str], cache: CacheConfig) -> dict[str, Corpus]:
    """Opens the corpora of a mixture, or a single one under an empty name.

    Args:
        paths: The path or URL of each corpus, by its name.
        cache: Where the shards of URLs are kept.

    Raises:
        DataError: One is not a complete corpus, or cannot be read, or they have different
            tokenizers.
    """
    corpora: dict[str, Corpus] = {}
    for name, path in paths.items():
        try:
            corpora[name] = open_corpus(path, cache)
        except DataError as error:
            if not name:
                raise
            raise DataError(f"data.path.{name}.path={path}: {error}") from error
    _check_same_tokenizer(corpora)
    return corpora


def _check_same_tokenizer(corpora: Mapping[str, Corpus]) -> None:
    (first_name, first), *others = corpora.items()
    expected = first.manifest.tokenizer_sha256
    for name, corpus in others:
        found = corpus.manifest.tokenizer_sha256
        if found != expected:
            raise DataError(
                f"data.path.{name}.path={corpus.place} has another tokenizer than "
                f"data.path.{first_name}.path={first.place} (SHA-256 {found[:12]}… and "
                f"{expected[:12]}…); prepare one of them again with tokenizer=existing and "
                f"tokenizer.path set to the {TOKENIZER_FILE} of the other"
            )
