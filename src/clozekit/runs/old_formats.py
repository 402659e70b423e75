"""Checkpoints of older formats, read as if the present version had written them."""

from typing import Any

OLDEST_FORMAT = 2
"""The oldest format that can be read."""

_DATA = "clozekit.data"

MOVED_SINCE_2 = {
    f"{_DATA}.pretraining.PretrainingDataModule": (
        f"{_DATA}.pretraining.pair_datamodule.PretrainingDataModule"
    ),
    f"{_DATA}.masked_lm.MaskedLMDataModule": (
        f"{_DATA}.pretraining.masked_lm_datamodule.MaskedLMDataModule"
    ),
    f"{_DATA}.classification.ClassificationDataModule": (
        f"{_DATA}.labelled.classification.ClassificationDataModule"
    ),
    f"{_DATA}.regression.RegressionDataModule": f"{_DATA}.labelled.regression.RegressionDataModule",
    f"{_DATA}.tagging.TaggingDataModule": f"{_DATA}.labelled.tagging.TaggingDataModule",
    f"{_DATA}.question_answering.QuestionAnsweringDataModule": (
        f"{_DATA}.labelled.question_answering.QuestionAnsweringDataModule"
    ),
    f"{_DATA}.question_answering_bio.QuestionAnsweringBIODataModule": (
        f"{_DATA}.labelled.question_answering_bio.QuestionAnsweringBIODataModule"
    ),
    f"{_DATA}.multiple_choice.MultipleChoiceDataModule": (
        f"{_DATA}.labelled.multiple_choice.MultipleChoiceDataModule"
    ),
    "clozekit.runs.history.CSVHistory": "clozekit.runs.csv_history.CSVHistory",
    "clozekit.training.progress.TrainingProgress": (
        "clozekit.training.progress_bar.TrainingProgress"
    ),
}
"""Where the classes that a configuration of format 2 could name by `_target_` are now."""


def translated(config: Any, format_version: int) -> Any:
    """Gives a checkpoint's configuration with the present names of clozekit's classes.

    Names are exchanged as text; nothing is imported. Names that are not clozekit's stay.

    Args:
        config: The configuration, in plain containers.
        format_version: The checkpoint's format.
    """
    return _renamed(config, MOVED_SINCE_2) if format_version == 2 else config


def _renamed(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {
            key: names.get(inner, inner)
            if key == "_target_" and isinstance(inner, str)
            else _renamed(inner, names)
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [_renamed(inner, names) for inner in value]
    return value
