"""Reads documents from tables: Parquet files and datasets on the Hugging Face Hub."""

import pickle
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from clozekit.config.prepare import HubSource, TableSource
from clozekit.corpus.sources.documents import (
    Document,
    Partition,
    check_columns,
    columns_of,
    document_of_row,
)
from clozekit.data.files.arrow_rows import checked_columns
from clozekit.data.files.hub import quiet_datasets
from clozekit.errors import DataError, first_line
from clozekit.files import write_atomically
from clozekit.storage.local_content import cache_of
from clozekit.storage.remote_files import opened
from clozekit.storage.urls import is_url

_ROWS_AT_ONCE = 1_024
_FOOTER_BYTES = 2**16


def plan_parquet(path: str, source: TableSource, partition_bytes: int) -> list[Partition]:
    """Groups a file's row groups into partitions of about `partition_bytes` of text.

    Raises:
        DataError: The file is not Parquet, lacks a column, or its text column is not a string.
    """
    with _parquet_file(path) as file:
        names = checked_columns(path, file.schema_arrow)
        check_columns(columns_of(source), names, lambda: path)
        _check_is_text(file.schema_arrow.field(source.text_column).type, source, path)
        partitions: list[Partition] = []
        start, text_bytes = 0, 0
        for number in range(file.num_row_groups):
            group = file.metadata.row_group(number)
            chunks = [group.column(index) for index in range(group.num_columns)]
            text_bytes += sum(
                chunk.total_uncompressed_size
                for chunk in chunks
                if chunk.path_in_schema == source.text_column
            )
            if text_bytes >= partition_bytes or number == file.num_row_groups - 1:
                partitions.append(Partition(path, start, number + 1))
                start, text_bytes = number + 1, 0
        return partitions


def read_parquet(partition: Partition, source: TableSource) -> Iterator[Document]:
    """Reads the documents of a partition from `plan_parquet`."""
    path = partition.path
    with _parquet_file(path) as file:
        groups = range(partition.start, partition.stop or file.num_row_groups)
        rows_before = (file.metadata.row_group(group).num_rows for group in range(groups.start))
        number = sum(rows_before)
        batches = file.iter_batches(_ROWS_AT_ONCE, list(groups), columns_of(source))
        for batch in batches:
            with _named_row(partial(_row, batch), range(batch.num_rows), path, number):
                rows = batch.to_pylist()
            for row in rows:
                number += 1
                yield document_of_row(row, source, partial("{}: row {}".format, path, number))


def load_hub(source: HubSource, digest: str | None = None) -> Any:
    """Loads the columns of a dataset that are read.

    Args:
        source: The dataset.
        digest: What identifies the content of a local folder; None for a dataset of the hub.

    Raises:
        DataError: The dataset cannot be loaded, lacks a column, or its text column is not a string.
    """
    dataset = _load_dataset(source, None if digest is None else cache_of(digest))
    check_columns(columns_of(source), dataset.column_names, lambda: source.path)
    dataset = dataset.select_columns(columns_of(source))
    _check_is_text(
        dataset.features.arrow_schema.field(source.text_column).type, source, source.path
    )
    return dataset


def plan_hub(
    dataset: Any, partition_bytes: int, folder: Path, digest: str | None = None
) -> list[Partition]:
    """Splits the rows of a dataset into partitions by their mean size.

    The dataset's handle, which refers to the library's own cache, is saved in `folder` for the
    reading processes.

    Args:
        dataset: The dataset.
        partition_bytes: The size of a partition.
        folder: The folder.
        digest: What identifies the content of a local dataset; None for one of the hub.
    """
    # The file name lets a resumed run notice that the dataset changed. The library's fingerprint of
    # a local one goes by the times of its files.
    name = dataset._fingerprint if digest is None else f"{dataset._fingerprint}-{digest[:32]}"
    file = folder / f"dataset-{name}.pickle"
    with write_atomically(file) as handle:
        pickle.dump(dataset, handle)
    row_bytes = dataset.data.nbytes / max(dataset.data.num_rows, 1)
    rows = max(1, int(partition_bytes / max(row_bytes, 1)))
    starts = range(0, len(dataset), rows)
    return [Partition(str(file), start, min(start + rows, len(dataset))) for start in starts]


def read_hub(partition: Partition, source: HubSource) -> Iterator[Document]:
    """Reads the documents of a partition from `plan_hub`."""
    dataset = _unpickle(partition.path)
    assert partition.stop is not None
    for start in range(partition.start, partition.stop, _ROWS_AT_ONCE):
        stop = min(start + _ROWS_AT_ONCE, partition.stop)
        with _named_row(dataset.__getitem__, range(start, stop), source.path):
            rows = dataset[start:stop]
        columns = columns_of(source)
        values = zip(*(rows[column] for column in columns), strict=True)
        for number, row in enumerate(values, start + 1):
            place = partial("{}: row {}".format, source.path, number)
            yield document_of_row(dict(zip(columns, row, strict=True)), source, place)


def _load_dataset(source: HubSource, cache_dir: str | None) -> Any:
    import datasets

    try:
        with quiet_datasets():
            return datasets.load_dataset(
                source.path, name=source.name, split=source.split, cache_dir=cache_dir
            )
    except Exception as error:  # `datasets` and its dependencies raise many types.
        reason = first_line(error)
        raise DataError(f"source.path={source.path} cannot be loaded: {reason}") from None


@lru_cache(maxsize=1)
def _unpickle(path: str) -> Any:
    return pickle.loads(Path(path).read_bytes())


def _check_is_text(column_type: pa.DataType, source: TableSource | HubSource, place: str) -> None:
    value_type = column_type.value_type if pa.types.is_dictionary(column_type) else column_type
    if value_type not in (pa.string(), pa.large_string()):
        raise DataError(
            f"{place}: the column {source.text_column!r} has the type {column_type} "
            "instead of string"
        )


@contextmanager
def _parquet_file(path: str) -> Iterator[Any]:
    try:
        with _opened(path) as content, pq.ParquetFile(content) as file:
            yield file
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        raise DataError(f"{path} cannot be read as Parquet: {first_line(error)}") from None


@contextmanager
def _named_row(
    read: Callable[[int], object], rows: range, path: str, before: int = 0
) -> Iterator[None]:
    """Finds the row of text that is not UTF-8, in an error of converting several rows.

    Args:
        read: Converts one row.
        rows: The rows.
        path: The file or dataset that they are from.
        before: How many rows are before the row 0.
    """
    try:
        yield
    except UnicodeDecodeError:
        for row in rows:
            try:
                read(row)
            except UnicodeDecodeError as error:
                place, byte = f"{path}: row {before + row + 1}", error.object[error.start]
                raise DataError(f"{place} is not UTF-8 (byte 0x{byte:02x})") from None
        raise


def _row(batch: Any, index: int) -> object:
    return batch.slice(index, 1).to_pylist()


def _opened(path: str) -> AbstractContextManager[Any]:
    # Arrow reads whole columns of a row group at once.
    return opened(path, buffer_bytes=_FOOTER_BYTES) if is_url(path) else nullcontext(path)
