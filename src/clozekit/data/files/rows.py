"""Labelled rows from files, folders and the Hugging Face hub, read through `datasets`."""

import glob
import math
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from clozekit.errors import DataError

BUILDERS = {
    ".csv": "csv",
    ".tsv": "csv",
    ".json": "json",
    ".jsonl": "json",
    ".parquet": "parquet",
}
"""The `datasets` builder of each file ending, after a `.gz`."""

MISSING_LABEL = -100
"""What torch's losses leave out, and some data sets write where a label is missing."""

_ROWS_AT_ONCE = 1000

# A file is one piece, for `datasets` takes the types of a file's columns from its first piece.
_JSON: dict[str, Any] = {"chunksize": 2**31}
# Of what pandas takes for missing only this is; a class may be called None, a text say NA.
_CSV: dict[str, Any] = {"chunksize": None, "keep_default_na": False, "na_values": ["", "NaN"]}
_TSV = _CSV | {"sep": "\t", "quoting": 3}

# What pandas makes of a row with more columns than the header: all of them stand one to the left.
_UNNAMED_COLUMN = "__index_level_0__"


@dataclass(frozen=True)
class Rows:
    """Rows of a file, or of a split of a data set.

    Attributes:
        name: The file or split, for messages.
        columns: The names of its columns.
        read: Gives the rows one after the other; of classes, their names.
        unit: What a row is called in messages, with its number.
        class_names: Of columns whose classes the data set itself names, the names in its order.
    """

    name: str
    columns: Sequence[str]
    read: Callable[[], Iterator[Mapping[str, Any]]]
    unit: str = "row"
    class_names: Mapping[str, list[str]] = field(default_factory=dict)

    def __iter__(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Gives every row with the name that a message should call it."""
        for number, row in enumerate(self.read(), start=1):
            yield f"{self.name}, {self.unit} {row.get('#line', number)}", row


def endings(path: str) -> tuple[str, bool]:
    """Gives a file's ending without a `.gz`, in lower case, and whether there was a `.gz`."""
    suffixes = [suffix.lower() for suffix in Path(path).suffixes]
    is_gzipped = suffixes[-1:] == [".gz"]
    plain = suffixes[:-1] if is_gzipped else suffixes
    return (plain[-1] if plain else ""), is_gzipped


def read_file(path: str) -> Rows:
    """Reads a CSV, TSV, JSON, JSONL or Parquet file, gzipped or not.

    Raises:
        DataError: There is no such file, or it cannot be read.
    """
    ending, _ = endings(path)
    builder = BUILDERS.get(ending)
    if builder is None:
        raise DataError(f"{path}: the file's ending is not one of {', '.join(BUILDERS)} (or .gz)")
    if not Path(path).is_file():
        raise DataError(f"{path}: there is no such file")
    options = {".csv": _CSV, ".tsv": _TSV, ".json": _JSON, ".jsonl": _JSON}.get(ending, {})
    rows = _rows(path, builder, data_files=glob.escape(path), split="train", **options)
    if _UNNAMED_COLUMN in rows.columns:
        raise DataError(f"{path}: its first row has more columns than its header")
    return rows


def read_split(path: str, name: str | None, split: str) -> Rows:
    """Reads a split of a data set: of a folder, or of the Hugging Face hub.

    Raises:
        DataError: There is no such data set, configuration or split, or it cannot be had.
    """
    try:
        return _rows(f"{path} ({split})", path, name=name, split=split)
    except DataError as error:
        if isinstance(error.__cause__, ValueError) and (lacking := _lacking(path, name, split)):
            raise DataError(f"{path}: {lacking}") from error
        raise


def is_missing(label: Any) -> bool:
    """Whether a value stands for no label: null, nothing, not a number (NaN), or -100."""
    return (
        label is None
        or (isinstance(label, str) and label in ("", "NaN", str(MISSING_LABEL)))
        or (isinstance(label, int) and not isinstance(label, bool) and label == MISSING_LABEL)
        or (isinstance(label, float) and (math.isnan(label) or label == MISSING_LABEL))
    )


def as_name(label: Any) -> str:
    """Gives a class's name; whole numbers are written alike, whatever type a reader gave them."""
    if isinstance(label, float) and label.is_integer():
        return str(int(label))
    return str(label)


def ordered_names(names: set[str]) -> list[str]:
    """Orders classes: numbers by value, other names by the alphabet."""
    if all(name.removeprefix("-").isdecimal() for name in names):
        return sorted(names, key=lambda name: (int(name), name))
    return sorted(names)


def _rows(called: str, builder: str, **options: Any) -> Rows:
    dataset = _load(called, builder, **options)
    if not len(dataset):
        raise DataError(f"{called}: the file has no rows")
    classes = {
        column: found.names
        for column, feature in dataset.features.items()
        if (found := _class_label(feature)) is not None
    }
    columns = dataset.column_names
    return Rows(called, columns, lambda: _iterate(called, dataset, classes), class_names=classes)


def _load(called: str, builder: str, **options: Any) -> Any:
    # `datasets` takes a second to import, and only fine-tuning needs it.
    import datasets

    as_what = f" as {builder}" if "data_files" in options else ""
    progress_was_shown = datasets.is_progress_bar_enabled()
    datasets.disable_progress_bars()
    try:
        return datasets.load_dataset(builder, **options)
    except datasets.exceptions.DatasetGenerationError as error:
        cause = error.__cause__ or error
        raise DataError(f"{called}: it cannot be read{as_what}: {_first_line(cause)}") from error
    except (datasets.exceptions.DatasetNotFoundError, FileNotFoundError, ConnectionError) as error:
        if Path(builder).is_dir():
            raise DataError(f"{called}: the folder has no data files") from error
        raise DataError(
            f"{called}: there is no such data set here, and it could not be had from the Hugging "
            f"Face hub ({type(error).__name__})"
        ) from error
    except StopIteration as error:
        raise DataError(f"{called}: the file has no rows") from error
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{called}: it cannot be read{as_what}: {_first_line(error)}") from error
    except (datasets.exceptions.DatasetsError, yaml.YAMLError) as error:
        raise DataError(
            f"{called}: it is not as its README.md says ({type(error).__name__}: "
            f"{_first_line(error)})"
        ) from error
    except RuntimeError as error:
        # What `datasets` makes of a data set that is a script.
        raise DataError(f"{called}: {_first_line(error)}") from error
    except ValueError as error:
        # What `datasets` makes of a file that has a header alone.
        if "corresponds to no data" in str(error):
            raise DataError(f"{called}: the file has no rows") from error
        raise DataError(f"{called}: {_first_line(error)}") from error
    finally:
        if progress_was_shown:
            datasets.enable_progress_bars()


def _lacking(path: str, name: str | None, split: str) -> str | None:
    """Tells which configuration or split a data set lacks; None where it is something else."""
    import datasets

    try:
        names = datasets.get_dataset_config_names(path)
        if name is None and datasets.get_dataset_default_config_name(path) is None:
            return f"it has several configurations: give data.name=… with one of {', '.join(names)}"
        if name is not None and name not in names:
            return f"there is no configuration {name!r}; there are {', '.join(names)}"
        splits = datasets.get_dataset_split_names(path, name)
    except ValueError:
        return None
    # A split may be a part of one, such as train[:10%], or several with a + between.
    for part in split.split("+"):
        asked = part.partition("[")[0].strip()
        if asked not in splits:
            return f"there is no split {asked!r}; there are {', '.join(splits)}"
    return None


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def _class_label(feature: Any) -> Any | None:
    """Gives the classes of a column of classes, or of lists of them."""
    inner = getattr(feature, "feature", feature)
    return inner if hasattr(inner, "names") and hasattr(inner, "int2str") else None


def _iterate(
    called: str, dataset: Any, classes: Mapping[str, list[str]]
) -> Iterator[Mapping[str, Any]]:
    try:
        for batch in dataset.iter(batch_size=_ROWS_AT_ONCE):
            for column, names in classes.items():
                batch[column] = [_named(value, names) for value in batch[column]]
            for values in zip(*batch.values(), strict=True):
                yield dict(zip(batch, values, strict=True))
    except UnicodeDecodeError as error:
        raise DataError(f"{called}: it is not UTF-8 ({error.reason})") from error


def _named(value: Any, names: list[str]) -> Any:
    if isinstance(value, list):
        return [_named(each, names) for each in value]
    # -1 is what data sets write in splits whose labels are kept back.
    return names[value] if isinstance(value, int) and 0 <= value < len(names) else None
