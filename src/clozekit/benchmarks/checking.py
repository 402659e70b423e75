"""What would let every job of a task fail, checked before the first one starts."""

from collections.abc import Iterator, Mapping
from typing import Any

from clozekit.config import data
from clozekit.config.registry import DATA
from clozekit.config.train import TrainConfig
from clozekit.data.files.rows import FORMATS, read_file
from clozekit.errors import ConfigError, DataError
from clozekit.storage.compression import endings

COLUMNS: dict[type[data.StreamConfig], tuple[str, ...]] = {
    data.ClassificationDataConfig: ("text_column", "text_pair_column", "label_column"),
    data.RegressionDataConfig: ("text_column", "text_pair_column", "score_column"),
    data.TaggingDataConfig: ("words_column", "tags_column"),
    data.MultipleChoiceDataConfig: (
        *("context_column", "question_column", "choices_column"),
        "label_column",
    ),
    data.EmbeddingDataConfig: ("anchor_column", "positive_column", "negative_column"),
}
"""The keys of the columns that every row has. Questions have files of their own format."""


def check_results(key: str, config: TrainConfig) -> None:
    """Checks that a job has results.

    Args:
        key: The key of the task, for messages.
        config: The configuration of a job.

    Raises:
        ConfigError: A key leaves no results, or none to choose the best rate by.
    """
    if config.trainer.fast_dev_run:
        raise ConfigError(f"{key}: trainer.fast_dev_run has no results to compare")
    if config.trainer.limit_val_batches == 0:
        raise ConfigError(
            f"{key}: trainer.limit_val_batches=0 leaves no validation, by which the rate is chosen"
        )
    has_test = (config.data.model_extra or {}).get("test") is not None
    if has_test and (config.trainer.model_extra or {}).get("limit_test_batches") == 0:
        raise ConfigError(
            f"{key}: trainer.limit_test_batches=0 leaves no results on data.test; set data.test="
            "null for results on validation"
        )


def check_columns(key: str, config: TrainConfig) -> None:
    """Checks that the local files of a task have the columns of its data.

    Args:
        key: The key of the task, for messages.
        config: The configuration of a job.

    Raises:
        DataError: A file has no rows, or not a column.
    """
    given = config.data.model_extra or {}
    schema = DATA.get(config.data.target)
    if schema is None or given.get("path") is not None:
        return
    for split in ("train", "validation", "test"):
        path = given.get(split)
        if not isinstance(path, str) or endings(path)[0] not in FORMATS:
            continue
        wanted = list(_columns(schema, given))
        if not wanted:
            continue
        found = read_file(path).columns
        for name, column in wanted:
            if column not in found:
                raise DataError(
                    f"{key}.data.{name}={column}: {path} has no such column; it has "
                    f"{', '.join(found) or 'none'}"
                )


def _columns(
    schema: type[data.StreamConfig], given: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
    """Yields the keys of columns and the columns that must be there."""
    for name in COLUMNS.get(schema, ()):
        if name == "positive_column" and given.get("unsupervised"):
            continue
        default = schema.model_fields[name].default
        value = given.get(name, default)
        for column in value if isinstance(value, list) else [value]:
            if isinstance(column, str):
                yield name, column
