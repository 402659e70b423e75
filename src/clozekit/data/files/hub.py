"""Splits of data sets, in a folder or on the Hugging Face hub, read with `datasets`."""

import logging
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from clozekit.data.files.arrow_rows import named, narrow_columns, shortest
from clozekit.data.files.row import BadRow, FileRow, NoRowsError, Rows
from clozekit.errors import DataError, first_line
from clozekit.storage.local_content import cache_of, digest_of_folder

_ROWS_AT_ONCE = 1000


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


def split_names(split: str) -> list[str]:
    """Returns the names in a split, which may be a slice, or several splits joined by +."""
    return [part.partition("[")[0].strip() for part in split.split("+")]


def _rows(called: str, builder: str, **options: Any) -> Rows:
    if Path(builder).is_dir():
        options["cache_dir"] = cache_of(digest_of_folder(Path(builder)))
    dataset = _load(called, builder, **options)
    if not len(dataset):
        raise NoRowsError(f"{called} has no rows")
    classes = {
        column: found.names
        for column, feature in dataset.features.items()
        if (found := _class_label(feature)) is not None
    }
    narrow = narrow_columns(dataset.features.arrow_schema)
    read = partial(_iterate, called, dataset, classes, narrow)
    return Rows(called, dataset.column_names, read, class_names=classes)


def _load(called: str, builder: str, **options: Any) -> Any:
    # Imported here because it takes a second and only fine-tuning needs it.
    import datasets

    try:
        with quiet_datasets():
            return datasets.load_dataset(builder, **options)
    except datasets.exceptions.DatasetGenerationError as error:
        cause = error.__cause__ or error
        raise DataError(f"{called} cannot be read: {first_line(cause)}") from error
    except (datasets.exceptions.DatasetNotFoundError, FileNotFoundError, ConnectionError) as error:
        if Path(builder).is_dir():
            raise DataError(f"{called} has no data files") from error
        raise DataError(
            f"{called} is neither a local folder nor a data set that can be downloaded from the "
            f"Hugging Face hub ({type(error).__name__})"
        ) from error
    except StopIteration as error:
        raise NoRowsError(f"{called} has no rows") from error
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{called} cannot be read: {first_line(error)}") from error
    except (datasets.exceptions.DatasetsError, yaml.YAMLError) as error:
        raise DataError(
            f"{called} does not match the description in its README.md ({type(error).__name__}: "
            f"{first_line(error)})"
        ) from error
    except RuntimeError as error:
        # `datasets` raises this for a data set that is a script.
        raise DataError(f"{called}: {first_line(error)}") from error
    except ValueError as error:
        # `datasets` raises this for a file with a header but no rows.
        if "corresponds to no data" in str(error):
            raise NoRowsError(f"{called} has no rows") from error
        raise DataError(f"{called}: {first_line(error)}") from error


@contextmanager
def quiet_datasets() -> Iterator[None]:
    """Turns off the progress bars and log lines of `datasets`; its errors are reported by us."""
    import datasets

    progress_was_shown = datasets.is_progress_bar_enabled()
    verbosity = datasets.logging.get_verbosity()
    datasets.disable_progress_bars()
    datasets.logging.set_verbosity(logging.CRITICAL)
    try:
        yield
    finally:
        datasets.logging.set_verbosity(verbosity)
        if progress_was_shown:
            datasets.enable_progress_bars()


def _missing(path: str, name: str | None, split: str) -> str | None:
    """Describes the missing configuration or split; None if neither is missing."""
    import datasets

    try:
        with quiet_datasets():
            names = datasets.get_dataset_config_names(path)
            default = datasets.get_dataset_default_config_name(path)
            if name is None and default is None:
                return f"has several configurations; set data.name to one of {', '.join(names)}"
            if name is not None and name not in names:
                return f"has no configuration {name!r}; it has {', '.join(names)}"
            splits = datasets.get_dataset_split_names(path, name)
    except ValueError:
        return None
    for split_name in split_names(split):
        if split_name not in splits:
            return f"has no split {split_name!r}; it has {', '.join(splits)}"
    return None


def _class_label(feature: Any) -> Any | None:
    """Returns the classes of a column of classes or of lists of classes; None for others."""
    inner = getattr(feature, "feature", feature)
    return inner if hasattr(inner, "names") and hasattr(inner, "int2str") else None


def _iterate(
    called: str,
    dataset: Any,
    classes: Mapping[str, list[str]],
    narrow: Mapping[str, type[np.floating[Any]]],
) -> Iterator[Mapping[str, Any] | BadRow]:
    number = 0
    try:
        for batch in dataset.iter(batch_size=_ROWS_AT_ONCE):
            for values in zip(*batch.values(), strict=True):
                number += 1
                cells = dict(zip(batch, values, strict=True))
                try:
                    for column, names in classes.items():
                        cells[column] = named(cells[column], names)
                except ValueError as error:
                    yield BadRow(str(error), f"row {number}")
                    continue
                for column, kind in narrow.items():
                    cells[column] = shortest(cells[column], kind)
                yield FileRow(cells, f"row {number}")
    except UnicodeDecodeError as error:
        raise DataError(f"{called} is not UTF-8: {error.reason}") from error
