"""How the work on a corpus is divided into tasks. No task's memory grows with the corpus.

All sizes follow from the source alone, never from the number of workers, so that any number of
workers prepares the same bytes.
"""

from collections.abc import Sequence
from typing import NamedTuple

SMALLEST_PARTITION = 8 * 2**20
_LARGEST_PARTITION = 64 * 2**20
_PARTITIONS = 2_048
_GROUPS = 512
_LARGEST_GROUP = 2**30
_DOCUMENTS_PER_RANGE = 4_000_000
_GROUPS_PER_BUCKET = 8
_MOST_BUCKETS = 256


class Piece(NamedTuple):
    """Some documents of a partition, stored in one file.

    Attributes:
        name: The stem of the piece's file names; sorted names are in the order of the text.
        first_row: The index of the piece's first document in the corpus.
        rows: The number of documents in the piece.
    """

    name: str
    first_row: int
    rows: int


def partition_bytes(source_bytes: int, smallest: int = SMALLEST_PARTITION) -> int:
    """Returns the target size of a partition, in bytes of text.

    A large corpus has larger partitions, up to 64 MiB, because each needs several small files.

    Args:
        source_bytes: The size of the source.
        smallest: The size of the partitions of a small corpus.
    """
    size = smallest
    while size < _LARGEST_PARTITION and source_bytes > _PARTITIONS * size:
        size *= 2
    return size


class Division(NamedTuple):
    """How the documents that were read are divided.

    Attributes:
        groups: The pieces that one task counts or tokenizes.
        num_ranges: The number of ranges of content hashes in which duplicates are searched.
        num_buckets: The number of parts in which the word counts of all groups are added.
    """

    groups: list[list[Piece]]
    num_ranges: int
    num_buckets: int

    @property
    def pieces(self) -> list[Piece]:
        """All pieces, in the order of the text."""
        return [piece for group in self.groups for piece in group]


def divide(pieces: Sequence[Piece], piece_bytes: int) -> Division:
    """Divides pieces of about `piece_bytes` of text."""
    groups = group_pieces(pieces, piece_bytes)
    num_documents = sum(piece.rows for piece in pieces)
    return Division(
        groups,
        num_ranges=max(1, -(-num_documents // _DOCUMENTS_PER_RANGE)),
        num_buckets=max(1, min(len(groups) // _GROUPS_PER_BUCKET, _MOST_BUCKETS)),
    )


def group_pieces(pieces: Sequence[Piece], piece_bytes: int) -> list[list[Piece]]:
    """Returns the pieces that one task counts or tokenizes, in order.

    Up to 512 pieces are groups of their own. Beyond, a group has several pieces, up to 1 GiB of
    text: each shard opens the file of each group, so there must not be too many.
    """
    wanted = -(-len(pieces) // _GROUPS)
    size = max(1, min(wanted, _LARGEST_GROUP // piece_bytes))
    return [list(pieces[first : first + size]) for first in range(0, len(pieces), size)]
