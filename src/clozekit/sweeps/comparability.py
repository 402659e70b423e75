"""Which swept keys change what a metric measures, so that runs cannot be ranked by it."""

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from clozekit.config.callbacks import FULL_SENTENCES_LOSS
from clozekit.sweeps.read_runs import FoundRun

OBJECTIVE = ("objective", "task", "task._target_", "data", "data._target_", "data.pair_objective")
"""Keys that change what is predicted."""

OF_ALL_TASKS = (
    *("data.path", "data.name", "data.tokenizer"),
    *("data.validation", "data.validation_fraction", "data.test"),
    *("data.label_column", "data.tags_column", "data.score_column", "data.answers_column"),
    *("data.positive_column", "data.negative_column", "data.choices_column"),
    *("data.multi_label", "data.tag_scheme", "data.on_unknown_label", "data.allow_empty_text"),
    *("trainer.limit_val_batches", "trainer.limit_test_batches", "trainer.overfit_batches"),
)
"""Keys that change the rows or the labels of the evaluation."""

OF_BATCHES = (
    *("micro_batch_size", "data.micro_batch_size"),
    *("trainer", "trainer.devices", "trainer.num_nodes"),
)
"""Keys that change the rows of an evaluation that is limited to a number of batches."""

OF_EMBEDDING = ("task.temperature",)
"""Keys that change the loss of embeddings, and no other metric."""

OF_NEGATIVES = ("global_batch_size", "data.global_batch_size")
"""Keys that change among how many texts of its step a pair is found, in training of embeddings."""

OF_PRETRAINING = ("data.max_seq_length", "data.short_seq_prob", "data.validation_masking")
"""Keys that change the texts or the masks of the validation in pretraining."""

OF_PROBES = (
    *("callbacks.probes.train", "callbacks.probes.validation"),
    *("callbacks.probes.text_column", "callbacks.probes.text_pair_column"),
    "callbacks.probes.label_column",
)
"""Keys that change the rows of probes."""

WEIGHTS = "data.path.*.weight"
"""The weights of a mixture, which validation does not depend on."""

OF_TRAINING = (
    *("data.masked_lm_prob", "data.mask_token_prob", "data.random_token_prob"),
    *("data.max_predictions_per_seq", "data.whole_word_mask"),
    *("data.span_mask", "data.span_geometric_p", "data.max_span_length", "data.max_seq_length"),
    *("data.first_phase", "data.phases", WEIGHTS),
    *("task.class_weights", "task.label_smoothing", "task.classifier_dropout"),
    *("encoder.hidden_dropout_prob", "encoder.attention_probs_dropout_prob"),
)
"""Keys that change the metrics of training steps."""

MASKING = OF_TRAINING[:8]
_VALIDATION_MASKING = "data.validation_masking.masked_lm_prob"
_EMBEDDING = "clozekit.tasks.embedding.EmbeddingModule"
_LIMIT = "trainer.limit_val_batches"
_RECIPES = ("experiment", "debug", "local")
"""Groups whose choices may set any key."""


def keys_that_change(metric: str, keys: Iterable[str], runs: Sequence[FoundRun]) -> list[str]:
    """Returns the swept keys that change what a metric measures.

    Args:
        metric: The full name of the metric.
        keys: The swept keys.
        runs: The runs.
    """
    configs = [run.config for run in runs if run.config]
    changing = _changing(metric, configs)
    differing = [
        key
        for key in dict.fromkeys(key for config in configs for key in config)
        if len({str(config.get(key)) for config in configs}) > 1
    ]
    return [
        key
        for key in keys
        if _is_one_of(key, changing)
        or (key in _RECIPES and any(_is_one_of(each, changing) for each in differing))
    ]


def files_that_changed(runs: Sequence[FoundRun]) -> list[str]:
    """Returns the files of rows that were not the same for all runs that read them."""
    seen: dict[str, str] = {}
    return list(
        dict.fromkeys(
            path
            for run in runs
            for path, checksum in run.data.items()
            if seen.setdefault(path, checksum) != checksum
        )
    )


def _changing(metric: str, configs: Sequence[Mapping[str, Any]]) -> list[str]:
    """Lists the keys that change what a metric measures."""
    if metric.startswith("probe/"):
        return list(OF_PROBES)
    changing = list(OF_ALL_TASKS)
    if metric != FULL_SENTENCES_LOSS:
        changing += OBJECTIVE
    if metric.startswith("train/"):
        changing += OF_TRAINING
        if any(config.get("task._target_") == _EMBEDDING for config in configs):
            changing += OF_NEGATIVES
    elif any(isinstance(config.get(_LIMIT), int) for config in configs):
        changing += OF_BATCHES
    if metric.endswith("/loss"):
        changing += OF_EMBEDDING
    if any("data.masked_lm_prob" in config for config in configs):
        changing += OF_PRETRAINING
        if not all(_VALIDATION_MASKING in config for config in configs):
            changing += MASKING  # Validation had the masks of training.
    if any("data.train" in config and config.get("data.validation") is None for config in configs):
        changing.append("data.train")  # Validation rows are held out from it.
    return changing


def _is_one_of(key: str, changing: Sequence[str]) -> bool:
    if fnmatchcase(key, WEIGHTS):
        return WEIGHTS in changing
    return key in changing or any(
        key.startswith(f"{each}.") for each in changing if "." in each and "_target_" not in each
    )
