"""Converts checkpoints of older formats to the current format."""

from typing import Any

from clozekit.config.encoder import EncoderConfig

OLDEST_FORMAT = 2
"""The oldest format that can be read."""

_DATA = "clozekit.data"
OF_PAIRS = f"{_DATA}.pretraining.pair_datamodule.PretrainingDataModule"
OF_MASKED_LM = f"{_DATA}.pretraining.masked_lm_datamodule.MaskedLMDataModule"

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
"""The current paths of the classes that a configuration of format 2 may have as `_target_`."""


ADDED_SINCE_2: dict[str, dict[str, Any]] = {
    "encoder": {"_target_": "clozekit.models.encoder.Encoder"},
    "schedule": {"_target_": "clozekit.optim.schedules.learning_rate_factor"},
    "trainer": {"gradient_clip_algorithm": "norm", "overfit_batches": 0},
}
"""Keys missing in format 2, with the values that match its behaviour."""


WITHOUT_SPANS = {"span_mask": False, "span_geometric_p": 0.2, "max_span_length": 10}
"""Keys of masking that were added when spans were."""


def translated(config: dict[str, Any], format_version: int) -> dict[str, Any]:
    """Converts a checkpoint's configuration to the current class paths and keys.

    Paths are replaced as text; nothing is imported. Paths outside clozekit are not changed.

    Args:
        config: The configuration, in plain containers.
        format_version: The checkpoint's format.
    """
    if format_version == 2:
        config = _with(ADDED_SINCE_2, _renamed(config, MOVED_SINCE_2))
    # Some runs of the current format were saved before these keys were added.
    return _with(_added_since_3(config), config)


def _added_since_3(config: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Returns the keys of each group that format 3 first did not have, with their old meaning."""
    encoder = {**EncoderConfig.parts_of_bert(), "model_type": None}
    if _group(config, "encoder").get("classifier_activation") == "gelu":
        # At that time it stood for all of ModernBERT's layer.
        encoder["prediction_head"] = True
    data = _group(config, "data")
    target = data.get("_target_")
    if target not in (OF_PAIRS, OF_MASKED_LM):
        return {"encoder": encoder}
    added: dict[str, Any] = {**WITHOUT_SPANS, "phases": None}
    if "validation_masking" in data:
        added["validation_masking"] = WITHOUT_SPANS
    if target == OF_PAIRS:
        added["pair_objective"] = "next_sentence"
    return {"encoder": encoder, "data": added}


def _group(config: dict[str, Any], name: str) -> dict[str, Any]:
    group = config.get(name)
    return group if isinstance(group, dict) else {}


def _with(added: dict[str, dict[str, Any]], config: dict[str, Any]) -> dict[str, Any]:
    """Adds keys that are missing in groups that are there, and in groups within them."""
    return config | {
        group: _with(
            {key: value for key, value in keys.items() if isinstance(value, dict)},
            {**{k: v for k, v in keys.items() if not isinstance(v, dict)}, **config[group]},
        )
        for group, keys in added.items()
        if isinstance(config.get(group), dict)
    }


def with_counts_of_steps(loops: dict[str, Any], steps: int) -> dict[str, Any]:
    """Converts the state of Lightning's loops from micro-batches (format 2) to optimizer steps.

    Args:
        loops: The state saved by Lightning.
        steps: The number of optimizer steps done.
    """
    stages = ("ready", "started", "processed", "completed")
    batches = dict.fromkeys(stages, steps)
    counts = {"ready": steps, "completed": steps}
    fit_loop = {
        **loops["fit_loop"],
        "epoch_loop.batch_progress": {
            "total": batches,
            "current": batches,
            "is_last_batch": False,
        },
        "epoch_loop.manual_optimization.optim_step_progress": {"total": counts, "current": counts},
    }
    return {**loops, "fit_loop": fit_loop}


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
