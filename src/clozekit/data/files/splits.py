"""Splits of data sets: in the files of a folder, or read by `datasets`.

A split may be a slice, such as `train[:10%]`, or a sum, such as `train+validation[5:]`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

from clozekit.data.files import hub
from clozekit.data.files.folder import SplitFiles, describes_data, files_by_split
from clozekit.data.files.row import BadRow, FileRow, NoRowsError, Rows
from clozekit.data.files.rows import is_rows_file, read_file
from clozekit.errors import DataError, first_line


class _Slice(NamedTuple):
    """Rows of one split: those from `begin` on and before `end`; without it, all that follow."""

    files: Sequence[Rows]
    begin: int = 0
    end: int | None = None


def read_split(
    path: str,
    name: str | None,
    split: str,
    reader: Callable[[str], Rows] = read_file,
    is_read: Callable[[str], bool] = is_rows_file,
) -> Rows:
    """Reads a split of a data set in a folder or on the Hugging Face hub.

    The files of a local folder are read one by one, as if they were given alone. Data sets of the
    hub, folders that describe their data in a README.md, and formats that only `datasets` knows are
    read with `datasets`.

    Args:
        path: The folder, or the name on the hub.
        name: The configuration of the data set, if it has several.
        split: The split, a slice of one, or a sum.
        reader: Reads a file.
        is_read: Whether the reader reads a file, by its name.

    Raises:
        DataError: The data set, configuration or split does not exist or cannot be downloaded.
    """
    files, left_out = SplitFiles({}, [])
    if Path(path).is_dir() and name is None and not describes_data(Path(path)):
        with hub.quiet_datasets():
            files, left_out = files_by_split(Path(path), is_read)
    asked = "+".join(files) if split == "all" else split
    needed = hub.split_names(asked)
    if not files:
        return hub.read_split(path, name, split)
    called = f"{path} ({split})"
    for each in needed:
        if each not in files:
            raise DataError(f"{path} has no split {each!r}; it has {', '.join(files)}")
    slices = _slices(called, files, asked, reader)
    read = partial(_read, slices)
    if next(read(), None) is None:
        raise NoRowsError(f"{called} has no rows")
    first, *others = chain.from_iterable(each.files for each in slices)
    for other in others:
        if set(other.columns) != set(first.columns):
            raise DataError(
                f"{other.name} has the columns {', '.join(other.columns)}, but {first.name} has "
                f"{', '.join(first.columns)}"
            )
        _check_classes(first, other)
    names = first.class_names
    return Rows(called, first.columns, read, class_names=names, left_out=tuple(left_out))


def _slices(
    called: str, files: Mapping[str, Sequence[str]], split: str, reader: Callable[[str], Rows]
) -> list[_Slice]:
    """Returns the parts of a sum of slices, with the bounds that `datasets` would give them.

    Raises:
        DataError: It is not written as `datasets` has it, or a file cannot be read.
    """
    from datasets import ReadInstruction

    try:
        ReadInstruction.from_spec(split)
    except ValueError as error:
        raise DataError(f"{called}: {first_line(error)}") from error
    found = []
    for each, (name,) in ((part.strip(), hub.split_names(part)) for part in split.split("+")):
        rows = [opened for file in files[name] if (opened := _opened(file, reader)) is not None]
        if each == name:
            found.append(_Slice(rows))
            continue
        size = sum(1 for one in rows for _ in one.read())
        try:
            (bounds,) = ReadInstruction.from_spec(each).to_absolute({name: size})
        except ValueError as error:
            raise DataError(f"{called}: {first_line(error)}") from error
        found.append(_Slice(rows, bounds.from_, bounds.to))
    return found


def _opened(file: str, reader: Callable[[str], Rows]) -> Rows | None:
    """Opens a file of a split, which may have other files if this one has no rows."""
    try:
        return reader(file)
    except NoRowsError:
        return None


def _check_classes(first: Rows, other: Rows) -> None:
    """Checks that two files of a split declare the same classes, which are then those of all rows.

    Raises:
        DataError: They do not.
    """
    for column in first.class_names.keys() | other.class_names.keys():
        declared = [set(rows.class_names.get(column, ())) for rows in (first, other)]
        if declared[0] != declared[1]:
            name = min(declared[0] ^ declared[1])
            raise DataError(
                f"{first.name} and {other.name} must declare the same classes in the column "
                f"{column!r}, but only one of them has {name!r}"
            )


def _read(slices: Sequence[_Slice]) -> Iterator[Mapping[str, Any] | BadRow]:
    for each in slices:
        yield from islice(_rows_of(each.files), each.begin, each.end)


def _rows_of(files: Sequence[Rows]) -> Iterator[Mapping[str, Any] | BadRow]:
    for file in files:
        name = Path(file.name).name
        for row in file.read():
            if isinstance(row, FileRow | BadRow):
                row.place = f"{name}, {row.place}"
            yield row
