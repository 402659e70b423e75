"""Which swept keys change what a metric measures, so that runs cannot be ranked by it."""

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from clozekit.sweeps.read_runs import FoundRun

OF_ALL_TASKS = (
    *("task", "task._target_", "data", "data._target_", "data.path", "data.name"),
    *("data.validation", "data.validation_fraction", "data.test", "data.tokenizer"),
    *("data.label_column", "data.tags_column", "data.score_column", "data.answers_column"),
    *("data.multi_label", "data.tag_scheme"),
)
"""Keys that change the rows or the labels of the evaluation."""

OF_PRETRAINING = ("data.max_seq_length", "data.short_seq_prob", "data.validation_masking")
"""Keys that change the texts or the masks of the validation in pretraining."""

WEIGHTS = "data.path.*.weight"
"""The weights of a mixture, which validation does not depend on."""

OF_TRAINING = (
    *("data.masked_lm_prob", "data.mask_token_prob", "data.random_token_prob"),
    *("data.max_predictions_per_seq", "data.whole_word_mask"),
    *("data.span_mask", "data.span_geometric_p", "data.max_span_length", "data.max_seq_length"),
    *("data.first_phase", "data.phases", WEIGHTS),
    *("task.class_weights", "task.label_smoothing"),
)
"""Keys that change the metrics of training steps."""

MASKING = OF_TRAINING[:8]
_VALIDATION_MASKING = "data.validation_masking.masked_lm_prob"


def keys_that_change(metric: str, keys: Iterable[str], runs: Sequence[FoundRun]) -> list[str]:
    """Returns the swept keys that change what a metric measures.

    Args:
        metric: The full name of the metric.
        keys: The swept keys.
        runs: The runs.
    """
    configs = [run.config for run in runs if run.config]
    changing = list(OF_ALL_TASKS)
    if metric.startswith("train/"):
        changing += OF_TRAINING
    if any("data.masked_lm_prob" in config for config in configs):
        changing += OF_PRETRAINING
        if not all(_VALIDATION_MASKING in config for config in configs):
            changing += MASKING  # Validation had the masks of training.
    if any("data.train" in config and config.get("data.validation") is None for config in configs):
        changing.append("data.train")  # Validation rows are held out from it.
    return [key for key in keys if _is_one_of(key, changing)]


def _is_one_of(key: str, changing: Sequence[str]) -> bool:
    if fnmatchcase(key, WEIGHTS):
        return WEIGHTS in changing
    return key in changing or any(
        key.startswith(f"{each}.") for each in changing if "." in each and "_target_" not in each
    )
