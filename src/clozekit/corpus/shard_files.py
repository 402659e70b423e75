"""The shards of a corpus, each checked against the manifest before it is first read."""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from clozekit.corpus.manifest import Corpus, ShardRecord, Split
from clozekit.corpus.shards import Shard
from clozekit.errors import DataError
from clozekit.files import sha256_of_file

CHECKED_AT_START = 2**30
"""The number of bytes that are checked at the start. The start should not take longer for a larger
corpus, so its later shards are checked when they are first read."""

_THREADS = 4


class ShardFile:
    """A shard that is checked when it is first opened, once per process.

    Args:
        path: The file.
        record: Its entry in the manifest; None to check only that it is a shard.
        vocab_size: The size of the vocabulary.

    Attributes:
        name: Its path or URL, for messages.
    """

    def __init__(
        self, path: Path, record: ShardRecord | None = None, vocab_size: int | None = None
    ) -> None:
        self.path = path
        self.name = str(path)
        self.record = record
        self.vocab_size = vocab_size
        self._is_checked = record is None

    def release(self) -> None:
        """Lets a cache remove the shard; there is none of local files."""

    def open(self) -> Shard:
        """Memory-maps the shard.

        Raises:
            DataError: The file is not the one that the manifest describes.
        """
        self.check()
        return Shard.open(self.path)

    def check(self) -> None:
        """Checks the file, if this has not been done yet.

        Raises:
            DataError: The file is not the one that the manifest describes.
        """
        if self._is_checked:
            return
        assert self.record is not None
        try:
            digest = sha256_of_file(self.path)
        except OSError as error:
            raise DataError(f"{self.path} cannot be read: {error.strerror}") from error
        if digest != self.record.sha256:
            raise DataError(
                f"{self.path} has been changed or damaged: its SHA-256 is {digest[:12]}…, but the "
                f"corpus was prepared with {self.record.sha256[:12]}…; prepare it again"
            )
        self.check_content(Shard.open(self.path), self.record)
        self._is_checked = True

    def check_content(self, shard: Shard, record: ShardRecord) -> None:
        """Checks what a checksum does not: that the manifest is true, and that ids are tokens.

        Raises:
            DataError: The shard is not what the manifest says.
        """
        for name in ("documents", "sentences", "tokens"):
            found, expected = getattr(shard, f"num_{name}"), getattr(record, name)
            if found != expected:
                raise DataError(
                    f"{self.name} has {found:,} {name}, but the manifest says {expected:,}"
                )
        for name, offsets in (
            ("document", shard.document_offsets),
            ("sentence", shard.sentence_offsets),
        ):
            if not np.all(offsets[1:] > offsets[:-1]):
                raise DataError(f"{self.name} has an empty {name}")
        largest = int(shard.tokens.max(initial=0))
        if self.vocab_size is not None and largest >= self.vocab_size:
            raise DataError(
                f"{self.name} has the token {largest}, but the vocabulary has {self.vocab_size:,}"
            )


def shard_files(corpus: Corpus, split: Split) -> list[ShardFile]:
    """Returns the shards of a split, in order."""
    records = corpus.manifest.splits[split].shards
    return [
        ShardFile(path, record, corpus.manifest.vocab_size)
        for path, record in zip(corpus.shards(split), records, strict=True)
    ]


def check_first(shards: Iterable[ShardFile], most_bytes: int = CHECKED_AT_START) -> None:
    """Checks as many shards in parallel as are not larger than `most_bytes` together.

    Raises:
        DataError: A file is not the one that the manifest describes.
    """
    chosen, size = [], 0
    for shard in shards:
        size += shard.path.stat().st_size
        if size > most_bytes:
            break
        chosen.append(shard)
    with ThreadPoolExecutor(_THREADS) as threads:
        for _ in threads.map(ShardFile.check, chosen):
            pass
