"""Refuses keys that the user gives and that do nothing in this configuration."""

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from clozekit.config.callbacks import UnigramBaselineConfig
from clozekit.config.checks.key_conflicts import given_values
from clozekit.config.checks.useless_keys import (
    Useless,
    of_checkpoints,
    of_compilation,
    of_divergence,
    of_encoder,
    of_trainer,
    of_workers,
    pair,
)
from clozekit.config.schedule import UserScheduleConfig
from clozekit.config.train import TrainConfig
from clozekit.config.values import as_yaml
from clozekit.errors import ConfigError

UNIGRAM_BASELINE = "clozekit.training.unigram.UnigramBaseline"
RECIPES = ("experiment", "objective", "debug", "local")
"""Groups whose choices may set any key."""

_OTHERS = (of_compilation, of_divergence, of_trainer, of_workers, of_checkpoints, of_encoder)


def check_effects(
    config: TrainConfig, overrides: Sequence[str], varied: Collection[str] = ()
) -> None:
    """Checks that every key of the command line does something.

    Keys of experiments and other files are not looked at: a recipe may be changed by a key that
    makes another of its keys useless. Nor are those of a run that continues another one, which has
    to keep its keys, or of a command with `debug`, which is added to any other.

    Args:
        config: The complete configuration.
        overrides: The overrides of the command line.
        varied: The keys that differ between the jobs of a sweep. A key may be useless in the jobs
            with one value of another.

    Raises:
        ConfigError: A key has no effect.
    """
    if _is_left_alone(config) or any(each.startswith("debug=") for each in overrides):
        return
    given = given_values(overrides)
    for useless in _useless(config, given):
        if not any(_sets(key, useless.by) for key in varied):
            raise ConfigError(useless.message)


def _is_left_alone(config: TrainConfig) -> bool:
    if os.environ.get("WANDB_SWEEP_ID"):
        # An agent gives each run all keys of its sweep, as in the jobs of our own.
        return True
    if config.from_run is not None or config.resume not in (None, "auto"):
        return True
    return config.resume == "auto" and (config.run_dir / "config.yaml").exists()


def _sets(varied: str, key: str) -> bool:
    return varied == key or key.startswith(f"{varied}.") or varied in RECIPES


def _useless(config: TrainConfig, given: Mapping[str, Any]) -> Iterator[Useless]:
    for kind in (_of_schedule, _of_spans, _of_baseline, _of_fine_tuning, *_OTHERS):
        yield from kind(config, given)


def _of_schedule(config: TrainConfig, given: Mapping[str, Any]) -> Iterator[Useless]:
    schedule = config.schedule
    if isinstance(schedule, UserScheduleConfig):
        return
    if schedule.decay == "constant" and schedule.min_lr_ratio and "schedule.min_lr_ratio" in given:
        value = schedule.min_lr_ratio
        yield pair("schedule.min_lr_ratio", value, "schedule.decay", "constant")
    for phase in ("warmup", "decay"):
        steps, ratio = (f"schedule.{phase}_{unit}" for unit in ("steps", "ratio"))
        both = [given.get(steps), given.get(ratio)]
        if None not in both:
            yield pair(ratio, both[1], steps, both[0], "; give one of the two")


def _of_spans(config: TrainConfig, given: Mapping[str, Any]) -> Iterator[Useless]:
    data = config.data.model_extra or {}
    for group in ("data", "data.validation_masking"):
        masking = data if group == "data" else data.get("validation_masking")
        if not isinstance(masking, dict) or masking.get("span_mask"):
            continue
        for name in ("span_geometric_p", "max_span_length"):
            if name in masking and f"{group}.{name}" in given:
                yield pair(f"{group}.{name}", masking[name], f"{group}.span_mask", False)


def _of_baseline(config: TrainConfig, given: Mapping[str, Any]) -> Iterator[Useless]:
    for name, callback in config.callbacks.items():
        key = f"callbacks.{name}.after_n_steps"
        if callback is None or callback.target != UNIGRAM_BASELINE or key not in given:
            continue
        after = UnigramBaselineConfig.model_validate(callback.model_extra or {}).after_n_steps
        if after is not None and config.max_steps is not None and after > config.max_steps:
            yield pair(key, after, "max_steps", config.max_steps, ", which is less")


def _of_fine_tuning(config: TrainConfig, given: Mapping[str, Any]) -> Iterator[Useless]:
    """Finds keys for training an encoder that is frozen, or for weights that are not loaded."""
    values = config.fine_tuning.model_dump()
    for name, does_nothing in _NOTHING.items():
        key, value = f"fine_tuning.{name}", values[name]
        if key not in given or does_nothing(value):
            continue
        if config.fine_tuning.freeze_encoder and name != "freeze_encoder":
            yield _of_frozen(key, value, is_random=name.startswith("reinit"))
        elif config.encoder.pretrained is None and name == "freeze_encoder":
            by = "encoder.pretrained"
            message = (
                f"{key}=true would keep the random weights of an encoder without {by}; set {by}, "
                f"or {key}=false"
            )
            yield Useless(key, by, message)
        elif config.encoder.pretrained is None and name.startswith("reinit"):
            by = "encoder.pretrained"
            yield pair(key, value, by, None, ", without which all weights are random")


def _of_frozen(key: str, value: Any, is_random: bool) -> Useless:
    by = "fine_tuning.freeze_encoder"
    if not is_random:
        return pair(key, value, by, True)
    message = f"{key}={as_yaml(value)} with {by}=true would leave random weights untrained"
    return Useless(key, by, message)


_NOTHING: Mapping[str, Callable[[Any], bool]] = {
    "freeze_encoder": lambda value: not value,
    "layerwise_lr_decay": lambda value: value == 1.0,
    "reinit_layers": lambda value: not value,
    "reinit_pooler": lambda value: not value,
}
"""Whether the value of a key of fine-tuning asks for nothing."""
