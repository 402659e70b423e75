"""Labelled rows from files, folders and the Hugging Face hub, read with `datasets`."""

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
"""The `datasets` builder for each file ending (without `.gz`)."""

MISSING_LABEL = -100
"""The label that torch's losses ignore. Some data sets use it for missing labels."""

_ROWS_AT_ONCE = 1000

# Read each file in one chunk: `datasets` infers the column types from the first chunk only.
_JSON: dict[str, Any] = {"chunksize": 2**31}
# Fewer missing values than pandas' default: a class may be called None, and a text may be "NA".
_CSV: dict[str, Any] = {"chunksize": None, "keep_default_na": False, "na_values": ["", "NaN"]}
_TSV = _CSV | {"sep": "\t", "quoting": 3}

# If the first row has more columns than the header, pandas takes the first column as an index of
# this name and shifts all others to the left.
_UNNAMED_COLUMN = "__index_level_0__"


@dataclass(frozen=True)
class Rows:
    """The rows of a file, or of a split of a data set.

    Attributes:
        name: The file or split, for messages.
        columns: The names of its columns.
        read: Yields the rows one by one. Classes are given by name.
        unit: The word before a row's number in messages.
        class_names: For each column whose classes are declared by the data set, their names in the
            data set's order.
    """

    name: str
    columns: Sequence[str]
    read: Callable[[], Iterator[Mapping[str, Any]]]
    unit: str = "row"
    class_names: Mapping[str, list[str]] = field(default_factory=dict)

    def __iter__(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yields each row with its name for messages."""
        for number, row in enumerate(self.read(), start=1):
            yield f"{self.name}, {self.unit} {row.get('#line', number)}", row


def endings(path: str) -> tuple[str, bool]:
    """Returns a file's ending in lower case and without `.gz`, and whether there was a `.gz`."""
    suffixes = [suffix.lower() for suffix in Path(path).suffixes]
    is_gzipped = suffixes[-1:] == [".gz"]
    plain = suffixes[:-1] if is_gzipped else suffixes
    return (plain[-1] if plain else ""), is_gzipped


def read_file(path: str) -> Rows:
    """Reads a CSV, TSV, JSON, JSONL or Parquet file, which may be gzipped.

    Raises:
        DataError: The file does not exist or cannot be read.
    """
    ending, _ = endings(path)
    builder = BUILDERS.get(ending)
    if builder is None:
        endings_allowed = ", ".join(BUILDERS)
        raise DataError(f"{path} must end in one of {endings_allowed}, or one of these plus .gz")
    if not Path(path).is_file():
        raise DataError(f"{path} does not exist")
    options = {".csv": _CSV, ".tsv": _TSV, ".json": _JSON, ".jsonl": _JSON}.get(ending, {})
    rows = _rows(path, builder, data_files=glob.escape(path), split="train", **options)
    if _UNNAMED_COLUMN in rows.columns:
        raise DataError(f"{path}: the first row has more columns than the header")
    return rows


def read_split(path: str, name: str | None, split: str) -> Rows:
    """Reads a split of a data set in a folder or on the Hugging Face hub.

    Raises:
        DataError: The data set, configuration or split does not exist or cannot be downloaded.
    """
    try:
        return _rows(f"{path} ({split})", path, name=name, split=split)
    except DataError as error:
        if isinstance(error.__cause__, ValueError) and (missing := _missing(path, name, split)):
            raise DataError(f"{path} {missing}") from error
        raise


def is_missing(label: Any) -> bool:
    """Whether a value means that the label is missing: null, an empty string, NaN or -100."""
    return (
        label is None
        or (isinstance(label, str) and label in ("", "NaN", str(MISSING_LABEL)))
        or (isinstance(label, int) and not isinstance(label, bool) and label == MISSING_LABEL)
        or (isinstance(label, float) and (math.isnan(label) or label == MISSING_LABEL))
    )


def as_name(label: Any) -> str:
    """Returns a class's name. Whole numbers get the same name whether read as int or float."""
    if isinstance(label, float) and label.is_integer():
        return str(int(label))
    return str(label)


def ordered_names(names: set[str]) -> list[str]:
    """Sorts classes: by value if all are numbers, else alphabetically."""
    if all(name.removeprefix("-").isdecimal() for name in names):
        return sorted(names, key=lambda name: (int(name), name))
    return sorted(names)


def _rows(called: str, builder: str, **options: Any) -> Rows:
    dataset = _load(called, builder, **options)
    if not len(dataset):
        raise DataError(f"{called} has no rows")
    classes = {
        column: found.names
        for column, feature in dataset.features.items()
        if (found := _class_label(feature)) is not None
    }
    columns = dataset.column_names
    return Rows(called, columns, lambda: _iterate(called, dataset, classes), class_names=classes)


def _load(called: str, builder: str, **options: Any) -> Any:
    # Imported here because it takes a second and only fine-tuning needs it.
    import datasets

    as_what = f" as {builder}" if "data_files" in options else ""
    progress_was_shown = datasets.is_progress_bar_enabled()
    datasets.disable_progress_bars()
    try:
        return datasets.load_dataset(builder, **options)
    except datasets.exceptions.DatasetGenerationError as error:
        cause = error.__cause__ or error
        raise DataError(f"{called} cannot be read{as_what}: {_first_line(cause)}") from error
    except (datasets.exceptions.DatasetNotFoundError, FileNotFoundError, ConnectionError) as error:
        if Path(builder).is_dir():
            raise DataError(f"{called} has no data files") from error
        raise DataError(
            f"{called} is neither a local folder nor a data set that can be downloaded from the "
            f"Hugging Face hub ({type(error).__name__})"
        ) from error
    except StopIteration as error:
        raise DataError(f"{called} has no rows") from error
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{called} cannot be read{as_what}: {_first_line(error)}") from error
    except (datasets.exceptions.DatasetsError, yaml.YAMLError) as error:
        raise DataError(
            f"{called} does not match the description in its README.md ({type(error).__name__}: "
            f"{_first_line(error)})"
        ) from error
    except RuntimeError as error:
        # `datasets` raises this for a data set that is a script.
        raise DataError(f"{called}: {_first_line(error)}") from error
    except ValueError as error:
        # `datasets` raises this for a file with a header but no rows.
        if "corresponds to no data" in str(error):
            raise DataError(f"{called} has no rows") from error
        raise DataError(f"{called}: {_first_line(error)}") from error
    finally:
        if progress_was_shown:
            datasets.enable_progress_bars()


def _missing(path: str, name: str | None, split: str) -> str | None:
    """Describes the missing configuration or split; None if neither is missing."""
    import datasets

    try:
        names = datasets.get_dataset_config_names(path)
        if name is None and datasets.get_dataset_default_config_name(path) is None:
            return f"has several configurations; set data.name to one of {', '.join(names)}"
        if name is not None and name not in names:
            return f"has no configuration {name!r}; it has {', '.join(names)}"
        splits = datasets.get_dataset_split_names(path, name)
    except ValueError:
        return None
    # A split may be a slice, such as train[:10%], or several splits joined by +.
    for part in split.split("+"):
        split_name = part.partition("[")[0].strip()
        if split_name not in splits:
            return f"has no split {split_name!r}; it has {', '.join(splits)}"
    return None


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def _class_label(feature: Any) -> Any | None:
    """Returns the classes of a column of classes or of lists of classes; None for others."""
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
        raise DataError(f"{called} is not UTF-8: {error.reason}") from error


def _named(value: Any, names: list[str]) -> Any:
    if isinstance(value, list):
        return [_named(each, names) for each in value]
    # Data sets write -1 in splits whose labels are not published.
    return names[value] if isinstance(value, int) and 0 <= value < len(names) else None
