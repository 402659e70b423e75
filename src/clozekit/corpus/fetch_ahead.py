"""Fetches the next shards of a stored corpus while the one before is read."""

import os
import queue
import threading
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from clozekit.corpus.shards import Shard
from clozekit.corpus.stored_corpus import StoredShardFile

Following: TypeAlias = Callable[[int, int], Sequence[int]]
"""Returns the shards that are read after (epoch, shard)."""


class FetchAhead:
    """Opens the shards of a split in turn; keeps the one at hand and the next ones in the cache.

    They are fetched by a thread of the process that reads them: file systems of stores do not
    survive a fork.

    Args:
        files: The shards of the split.
        following: Returns the next shards, which are known from the order.
    """

    def __init__(self, files: Sequence[StoredShardFile], following: Following) -> None:
        self._files = files
        self._following = following
        self._kept: set[int] = set()
        self._thread: _Thread | None = None

    def open(self, epoch: int, shard: int) -> Shard:
        """Opens a shard, and begins to fetch those that follow.

        Raises:
            DataError: It cannot be fetched, or is not the one that the manifest describes.
        """
        following = list(self._following(epoch, shard))
        thread = self._own_thread()
        thread.wanted = {shard, *following}
        # Before the shard is fetched, so that it finds room.
        for kept in self._kept - thread.wanted:
            self._files[kept].release()
        self._kept = set(thread.wanted)
        opened = self._files[shard].open()
        for number in following:
            thread.queue.put(number)
        return opened

    def _own_thread(self) -> "_Thread":
        if self._thread is None or self._thread.process_id != os.getpid():
            self._thread = _Thread(self._files)
            self._kept = set()
        return self._thread

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_thread": None, "_kept": set()}


class _Thread(threading.Thread):
    """Fetches shards in the background.

    Args:
        files: The shards.

    Attributes:
        process_id: The process that it runs in.
        queue: The numbers of the shards to fetch.
        wanted: The shards that are still wanted; others in the queue are skipped.
    """

    def __init__(self, files: Sequence[StoredShardFile]) -> None:
        super().__init__(name="fetch-ahead", daemon=True)
        self.process_id = os.getpid()
        self.queue: queue.SimpleQueue[int] = queue.SimpleQueue()
        self.wanted: set[int] = set()
        self._files = files
        self.start()

    def run(self) -> None:
        """Fetches what is in the queue, in order."""
        while True:
            number = self.queue.get()
            if number in self.wanted:
                try:
                    self._files[number].fetch(needs_room=True)
                except Exception:
                    continue  # It is reported when the shard is needed, if it still fails then.
                if number not in self.wanted:
                    self._files[number].release()
