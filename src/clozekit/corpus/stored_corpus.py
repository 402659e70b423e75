"""A corpus in an object store: its manifest is read at the start, its shards when they are used."""

import os
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from clozekit.config.cache import CacheConfig, num_bytes
from clozekit.corpus.manifest import (
    MANIFEST_FILE,
    TOKENIZER_FILE,
    Corpus,
    ShardRecord,
    Split,
    parse_manifest,
)
from clozekit.corpus.shard_cache import TRIES, Hold, ShardCache, StoredShard
from clozekit.corpus.shard_files import ShardFile
from clozekit.corpus.shards import Shard, token_dtype
from clozekit.errors import DataError
from clozekit.files import sha256_of_file
from clozekit.storage import remote_files
from clozekit.storage.urls import join, name_of

FEWEST_SHARDS = 4
"""The smallest cache has room for this many shards: of training and validation, the one at hand and
the next one each."""


@dataclass(frozen=True)
class StoredCorpus(Corpus):
    """A corpus in an object store.

    Attributes:
        folder: The folder of the cache.
        url: The URL of the corpus.
        cache: The cache of its shards.
        sizes: The size of each of its files, by name; empty if the store cannot list them.
    """

    url: str
    cache: ShardCache
    sizes: Mapping[str, int]

    @classmethod
    def at(cls, url: str, config: CacheConfig) -> Self:
        """Reads the manifest of a corpus, and checks that the store has its files.

        Raises:
            DataError: It is not a complete corpus, it cannot be read, or the cache is too small.
        """
        manifest = parse_manifest(_read_manifest(url), join(url, MANIFEST_FILE))
        cache = ShardCache(config.folder, num_bytes(config.limit))
        corpus = cls(config.folder, manifest, url, cache, _sizes(url))
        corpus._check_files()
        corpus._check_limit(config)
        return corpus

    @property
    def place(self) -> str:
        """The URL, for messages."""
        return self.url

    @property
    def tokenizer_file(self) -> Path:
        """The tokenizer file, in the cache."""
        return self.folder / f"{self.manifest.tokenizer_sha256}.json"

    def check_tokenizer(self) -> None:
        """Fetches the tokenizer file, unless the cache has it, and checks it.

        Raises:
            DataError: It cannot be fetched, or is not the one that the corpus was prepared with.
        """
        file, expected = self.tokenizer_file, self.manifest.tokenizer_sha256
        url = join(self.url, TOKENIZER_FILE)
        for _ in range(TRIES):
            if file.is_file() and sha256_of_file(file) == expected:
                return
            try:
                digest = remote_files.download(url, file)
            except OSError as error:
                raise DataError(
                    f"data.cache.dir={self.folder} cannot be written: {error.strerror or error}"
                ) from error
        if digest != expected:
            file.unlink(missing_ok=True)
            raise DataError(
                f"{url} is not the tokenizer that the corpus was prepared with: its SHA-256 is "
                f"{digest[:12]}… instead of {expected[:12]}…; prepare the corpus again"
            )

    def shards(self, split: Split) -> list[Path]:
        """Returns the places in the cache of a split's shards, in order."""
        return [self.folder / f"{r.sha256}.arrow" for r in self.manifest.splits[split].shards]

    def shard_files(self, split: Split) -> list["StoredShardFile"]:
        """Returns the shards of a split, in order."""
        return [
            StoredShardFile(self.cache, self._stored(record), record, self.manifest.vocab_size)
            for record in self.manifest.splits[split].shards
        ]

    def _stored(self, record: ShardRecord) -> StoredShard:
        size = self.sizes.get(record.file) or _estimated_size(record, self.manifest.vocab_size)
        return StoredShard(join(self.url, record.file), record.sha256, size)

    def _check_files(self) -> None:
        for split in self.manifest.splits.values():
            for record in split.shards:
                if self.sizes and record.file not in self.sizes:
                    raise DataError(
                        f"{join(self.url, record.file)} does not exist, but "
                        f"{join(self.url, MANIFEST_FILE)} lists it"
                    )

    def needed_bytes(self, config: CacheConfig) -> tuple[int, StoredShard]:
        """Returns the smallest cache that has room for what is read at a time, in bytes.

        Args:
            config: The options of the cache.

        Returns:
            The size, and the largest shard, on which it depends.
        """
        records = [record for split in self.manifest.splits.values() for record in split.shards]
        largest = max(map(self._stored, records), key=lambda shard: shard.num_bytes)
        return max(FEWEST_SHARDS, config.ahead + 2) * largest.num_bytes, largest

    def _check_limit(self, config: CacheConfig) -> None:
        needed, largest = self.needed_bytes(config)
        if self.cache.limit < needed:
            raise DataError(
                f"data.cache.limit={config.limit} has no room for "
                f"{needed // largest.num_bytes} shards: {largest.url} has "
                f"{largest.num_bytes:,} bytes, so it should be at least {needed}"
            )


def check_cache(corpora: Sequence[StoredCorpus], config: CacheConfig) -> None:
    """Checks that a cache has room for several corpora that are read at a time.

    Raises:
        DataError: It is too small.
    """
    needed = sum(corpus.needed_bytes(config)[0] for corpus in corpora)
    if num_bytes(config.limit) < needed:
        raise DataError(
            f"data.cache.limit={config.limit} has no room for the shards of {len(corpora)} corpora "
            f"that are read at a time; it should be at least {needed}"
        )


class StoredShardFile(ShardFile):
    """A shard of a store, which is fetched when it is opened, and checked before it is first read.

    Args:
        cache: The cache.
        stored: The shard in the store.
        record: Its entry in the manifest.
        vocab_size: The size of the vocabulary.
    """

    def __init__(
        self, cache: ShardCache, stored: StoredShard, record: ShardRecord, vocab_size: int
    ) -> None:
        super().__init__(cache.folder / f"{stored.sha256}.arrow", record, vocab_size)
        self.name = stored.url
        self.cache = cache
        self.stored = stored
        self._checked_inode: int | None = None
        self._state = _State()

    def fetch(self, needs_room: bool = False) -> None:
        """Fetches the shard unless the cache has it, and keeps it there until it is released.

        Args:
            needs_room: Whether to do nothing if the cache has no room for it.

        Raises:
            DataError: It cannot be fetched.
        """
        state = self._own_state()
        with state.lock:
            if state.hold is not None and not state.hold.is_there:
                state.hold.release()
                state.hold = None
            if state.hold is None:
                get = self.cache.hold_if_room if needs_room else self.cache.hold
                state.hold = get(self.stored)

    def release(self) -> None:
        """Lets the cache remove the shard. Does nothing while another thread fetches it."""
        state = self._own_state()
        if state.lock.acquire(blocking=False):
            if state.hold is not None:
                state.hold.release()
                state.hold = None
            state.lock.release()

    def open(self) -> Shard:
        """Fetches, checks and memory-maps the shard.

        Raises:
            DataError: It cannot be fetched, or is not the one that the manifest describes.
        """
        for _ in range(TRIES):
            self.fetch()
            hold = self._own_state().hold
            assert hold is not None
            if self._is_whole(hold):
                return Shard.open(hold.path)
            # It was damaged on this machine; the next try fetches it again.
            self.cache.remove(hold)
            self._own_state().hold = None
        raise DataError(
            f"the copy of {self.name} in data.cache.dir={self.cache.folder} is damaged each time "
            "that it is fetched; set data.cache.dir to a folder on another disk"
        )

    def check(self) -> None:
        """Fetches and checks the shard.

        Raises:
            DataError: It cannot be fetched, or is not the one that the manifest describes.
        """
        self.open()

    def _is_whole(self, hold: Hold) -> bool:
        """Checks a copy of the shard that this process has not read yet."""
        if hold.inode == self._checked_inode:
            return True
        assert self.record is not None
        if not hold.is_checked and sha256_of_file(hold.path) != self.record.sha256:
            return False
        self.check_content(Shard.open(hold.path), self.record)
        self._checked_inode = hold.inode
        return True

    def _own_state(self) -> "_State":
        """Returns the state of this process. A fork has the lock and the hold of its parent."""
        if self._state.process_id != os.getpid():
            if self._state.hold is not None:
                self._state.hold.release()
            self._state = _State()
        return self._state

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_state": None}

    def __setstate__(self, values: dict[str, Any]) -> None:
        self.__dict__ |= values
        self._state = _State()


class _State:
    """What one process has of a shard: a hold, and the lock of its threads."""

    def __init__(self) -> None:
        self.process_id = os.getpid()
        self.lock = threading.Lock()
        self.hold: Hold | None = None


def _read_manifest(url: str) -> bytes:
    try:
        return remote_files.read_bytes(join(url, MANIFEST_FILE))
    except DataError as error:
        if "does not exist" not in str(error):
            raise
        raise DataError(
            f"{url} has no {MANIFEST_FILE}, so it is not a complete corpus; upload all files of "
            "the folder written by `clozekit prepare`"
        ) from error


def _sizes(url: str) -> dict[str, int]:
    """Lists the sizes of a folder's files; none if it cannot be listed, as on a web server."""
    try:
        listed = remote_files.files(url)
    except DataError:
        return {}
    return {name_of(file.url): file.size for file in listed if file.size is not None}


def _estimated_size(record: ShardRecord, vocab_size: int) -> int:
    """Estimates the size of a shard's file from its counts; an id has about 36 bytes."""
    tokens = record.tokens * token_dtype(vocab_size).itemsize
    return tokens + 4 * record.sentences + 44 * record.documents + 4096
