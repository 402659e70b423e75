"""Reads the source into pieces: documents split into sentences, with hashes of id and text.

As in all stages, a task reads the files of earlier stages from the work folder, and writes complete
files there. Their content depends only on the task's number, so any process can run or repeat a
task.
"""

from collections import Counter
from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from clozekit.corpus.division import Piece
from clozekit.corpus.shards import write_record_batch
from clozekit.corpus.sources.documents import Document
from clozekit.corpus.sources.readers import read_documents
from clozekit.corpus.stages.cut import is_part, read_part
from clozekit.corpus.texts.filters import Filter
from clozekit.corpus.texts.sentences import hash_content, split_sentences
from clozekit.corpus.work_folder import Work, write_array
from clozekit.files import write_json
from clozekit.rng import hash_text

_PIECE_SCHEMA = pa.schema(
    {
        "id": pa.string(),
        "key": pa.uint64(),
        "content": pa.uint64(),
        "sentences": pa.list_(pa.string()),
    }
)


class _Rows:
    """Collects the documents of a piece."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.keys: list[int] = []
        self.contents: list[int] = []
        self.sentences: list[list[str]] = []
        self.size = 0

    def add(self, document: Document, sentences: list[str]) -> None:
        content = hash_content(document.text)
        self.ids.append(f"{content:016x}" if document.id is None else document.id)
        self.keys.append(content if document.id is None else hash_text(document.id))
        self.contents.append(content)
        self.sentences.append(sentences)
        self.size += len(document.text)

    def write(self, work: Work, name: str) -> None:
        """Writes the piece, and an index of its contents' hashes.

        The index is `[2, documents]`, uint64: the hashes, ascending, and the rows they belong to.
        """
        columns = [self.ids, self.keys, self.contents, self.sentences]
        arrays = [
            pa.array(values, field.type)
            for values, field in zip(columns, _PIECE_SCHEMA, strict=True)
        ]
        batch = pa.record_batch(arrays, schema=_PIECE_SCHEMA)
        write_record_batch(work.file("documents", f"{name}.arrow"), batch)
        contents = np.array(self.contents, np.uint64)
        order = np.argsort(contents, kind="stable")
        index = np.stack([contents[order], order.astype(np.uint64)])
        write_array(work.file("documents", f"{name}.npy"), index)


def read_partition(work: Work, number: int) -> None:
    """Reads a partition's documents, splits them into sentences and writes them as pieces.

    Documents that do not meet the rules of `filters` are counted and left out.

    A partition that cannot be split may be large. Its pieces are small nevertheless, so that the
    later stages can use all processes.
    """
    source, partition = work.config.source, work.partitions()[number]
    piece_bytes = work.plan().partition_bytes
    documents = (
        read_part(partition) if is_part(work, partition) else read_documents(source, partition)
    )
    rows, empty = _Rows(), 0
    keep = Filter(work.config.filters)
    sizes: list[int] = []

    def write_piece() -> _Rows:
        rows.write(work, f"{number:06d}-{len(sizes):06d}")
        sizes.append(len(rows.ids))
        return _Rows()

    def split() -> Iterator[tuple[Document, list[str]]]:
        nonlocal empty
        for document in documents:
            sentences = split_sentences(document.text, source.sentences, source.language)
            if sentences:
                yield document, sentences
            else:
                empty += 1

    for document, sentences in keep(split()):
        rows.add(document, sentences)
        if rows.size >= piece_bytes:
            rows = write_piece()
    if rows.ids:
        write_piece()
    report = {"pieces": sizes, "empty": empty, "filtered": keep.counts}
    write_json(work.file("documents", f"{number:06d}.json"), report)


def number_pieces(work: Work) -> list[Piece]:
    """Returns the pieces of all partitions, with the number of each one's first document."""
    pieces: list[Piece] = []
    first_row = 0
    for number in range(len(work.partitions())):
        report = work.read_json(f"documents/{number:06d}.json")
        for part, rows in enumerate(report["pieces"]):
            pieces.append(Piece(f"{number:06d}-{part:06d}", first_row, rows))
            first_row += rows
    return pieces


def count_filtered(work: Work) -> Counter[str]:
    """Returns the number of documents that each rule of `filters` left out."""
    filtered: Counter[str] = Counter()
    for number in range(len(work.partitions())):
        report = work.read_json(f"documents/{number:06d}.json")
        filtered.update(report["filtered"])
    return filtered
