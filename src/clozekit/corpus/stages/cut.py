"""Cuts large files that cannot be read from the middle into parts that can be read in parallel.

Reading a compressed file or a CSV file takes a fraction of the time of splitting its documents into
sentences, which all workers do for the parts.
"""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from clozekit.corpus.shards import write_record_batch
from clozekit.corpus.sources.documents import Document, Partition
from clozekit.corpus.sources.readers import read_documents
from clozekit.corpus.work_folder import Work, map_slice
from clozekit.files import write_json

_ROWS_AT_ONCE = 1_024
_SCHEMA = pa.schema({"text": pa.string(), "id": pa.string()})


def cut_file(work: Work, number: int) -> None:
    """Writes the documents of a file as parts of about the size of a partition."""
    plan = work.plan()
    partition = [partition for partition in plan.partitions if partition.is_cut][number]
    part: list[Document] = []
    num_parts = size = 0

    def write_part() -> None:
        texts, ids = zip(*part, strict=True)
        batch = pa.record_batch([pa.array(texts), pa.array(ids, pa.string())], schema=_SCHEMA)
        write_record_batch(_part_file(work, number, num_parts), batch)

    for document in read_documents(work.config.source, partition):
        part.append(document)
        size += len(document.text)
        if size >= plan.partition_bytes:
            write_part()
            part, num_parts, size = [], num_parts + 1, 0
    if part:
        write_part()
        num_parts += 1
    write_json(work.file("cut", f"{number:06d}.json"), {"parts": num_parts})


def partitions_to_read(work: Work) -> list[Partition]:
    """Returns all partitions, with the parts of a file in the place of a file that was cut."""
    partitions: list[Partition] = []
    num_cut = 0
    for partition in work.plan().partitions:
        if not partition.is_cut:
            partitions.append(partition)
            continue
        num_parts = work.read_json(f"cut/{num_cut:06d}.json")["parts"]
        files = [_part_file(work, num_cut, part) for part in range(num_parts)]
        partitions += [Partition(str(file), 0, None) for file in files]
        num_cut += 1
    return partitions


def is_part(work: Work, partition: Partition) -> bool:
    """Tells whether a partition is a part of a file that was cut."""
    return Path(partition.path).parent == work.folder / "cut"


def read_part(partition: Partition) -> Iterator[Document]:
    """Reads the documents of a part."""
    batch = map_slice(Path(partition.path))
    for first in range(0, batch.num_rows, _ROWS_AT_ONCE):
        texts, ids = (column.to_pylist() for column in batch.slice(first, _ROWS_AT_ONCE).columns)
        yield from map(Document, texts, ids)


def _part_file(work: Work, number: int, part: int) -> Path:
    return work.file("cut", f"{number:06d}-{part:06d}.arrow")
