"""The keys of Lightning's Trainer: each is supported, or rejected with an alternative."""

import re
from collections.abc import Mapping
from datetime import timedelta
from difflib import get_close_matches
from typing import Annotated, Any, Literal

from pydantic import Field, StrictBool, StrictInt, StrictStr, TypeAdapter, ValidationError

from clozekit.config.checks.strategies import check_strategy
from clozekit.config.values import as_yaml

HONOURED = frozenset(
    {
        "accelerator",
        "benchmark",
        "default_root_dir",
        "detect_anomaly",
        "deterministic",
        "devices",
        "enable_autolog_hparams",
        "enable_model_summary",
        "enable_progress_bar",
        "fast_dev_run",
        "gradient_clip_algorithm",
        "gradient_clip_val",
        "inference_mode",
        "limit_test_batches",
        "limit_train_batches",
        "limit_val_batches",
        "log_every_n_steps",
        "max_time",
        "min_steps",
        "num_nodes",
        "num_sanity_val_steps",
        "overfit_batches",
        "plugins",
        "precision",
        "profiler",
        "reload_dataloaders_every_n_epochs",
        "strategy",
        "sync_batchnorm",
        "val_check_interval",
    }
)
"""Keys that work as Lightning documents. Its batches are optimizer steps here."""

NOT_IN_CONF = frozenset(
    {
        *("benchmark", "default_root_dir", "enable_autolog_hparams", "enable_model_summary"),
        *("enable_progress_bar", "inference_mode", "limit_test_batches", "min_steps", "plugins"),
        *("reload_dataloaders_every_n_epochs", "sync_batchnorm"),
    }
)
"""Honoured keys that `conf/trainer/` leaves to Lightning, so that Hydra has to add them."""

_Number = Annotated[StrictInt, Field(ge=1, le=100_000)]
_Limit = Annotated[StrictInt, Field(ge=0)] | Annotated[float, Field(ge=0, le=1)] | None
_Group = dict[str, Any]

TYPES: Mapping[str, tuple[Any, str]] = {
    "accelerator": (StrictStr | _Group, "auto, cpu, gpu, cuda or mps"),
    "benchmark": (StrictBool | None, "true, false or null"),
    "default_root_dir": (StrictStr | None, "a folder"),
    "deterministic": (StrictBool | Literal["warn"] | None, "true, false, warn or null"),
    "devices": (
        _Number | Literal[-1] | StrictStr | Annotated[list[StrictInt], Field(min_length=1)],
        "a number of at least 1, a list of device indices, -1 for all, or auto",
    ),
    "enable_autolog_hparams": (StrictBool, "true or false"),
    "enable_model_summary": (StrictBool | None, "true, false or null"),
    "enable_progress_bar": (StrictBool | None, "true, false or null"),
    "inference_mode": (StrictBool, "true or false"),
    "limit_test_batches": (_Limit, "a number of batches, a fraction, or null"),
    "min_steps": (Annotated[StrictInt, Field(ge=0)] | None, "a number of steps, or null"),
    "num_nodes": (_Number, "a number of at least 1"),
    "plugins": (StrictStr | _Group | list[StrictStr | _Group] | None, "plugins by _target_"),
    "reload_dataloaders_every_n_epochs": (Annotated[StrictInt, Field(ge=0)], "a number of epochs"),
    "strategy": (StrictStr | _Group, "a name, or a group with _target_"),
    "sync_batchnorm": (StrictBool, "true or false"),
}
"""The types of keys that Lightning accepts without a check, and how they are described."""

ACCELERATORS = ("auto", "cpu", "gpu", "cuda", "mps")

REFUSED = {
    "accumulate_grad_batches": "it follows from global_batch_size and micro_batch_size",
    "barebones": "for a run without logs and checkpoints, set logger=[] and callbacks=[]",
    "callbacks": "callbacks are a group: +callbacks.mine._target_=my_module.MyCallback",
    "check_val_every_n_epoch": "validation is scheduled by steps: set validate_every_n_steps",
    "enable_checkpointing": "callbacks.checkpoints=null disables checkpoints",
    "limit_predict_batches": "training does not predict",
    "logger": "loggers are a group: logger=csv, logger=[csv,wandb], logger=[]",
    "max_epochs": "set max_epochs",
    "max_steps": "set max_steps",
    "min_epochs": "Lightning does not see the epochs, which are passes over the data: "
    "set trainer.min_steps",
    "model_registry": "Lightning's model registry is not available",
    "use_distributed_sampler": "the DataModule distributes the samples over the processes",
}
"""Keys that would have no effect, or not the effect that Lightning documents."""

REFUSED_CALLBACKS = {
    "BackboneFinetuning": "it depends on Lightning's epochs: use fine_tuning.freeze_encoder or "
    "fine_tuning.layerwise_lr_decay",
    "BaseFinetuning": "it adds parameters at Lightning's epochs, and the schedule has no rate for "
    "them: use fine_tuning.freeze_encoder or fine_tuning.layerwise_lr_decay",
    "BatchSizeFinder": "it changes the batch size during a run: set micro_batch_size",
    "GradientAccumulationScheduler": "accumulation follows from global_batch_size and "
    "micro_batch_size",
    "LearningRateFinder": "it trains on steps that are then repeated: sweep over optimizer.lr",
    "ModelPruning": "it depends on Lightning's epochs, and a run is only one of them",
    "SpikeDetection": "Lightning does not get the loss of a step: set divergence.max_loss",
    "StochasticWeightAveraging": "it depends on Lightning's epochs, and a run is only one of them",
}
"""Lightning callbacks that would have no effect, or would break the order of samples."""


def check_trainer_keys(target: str, arguments: dict[str, Any]) -> None:
    """Checks the names of the Trainer's arguments, and the strategy.

    Args:
        target: The Trainer's class. A subclass may have additional arguments.
        arguments: The Trainer's arguments.

    Raises:
        ValueError: A key or the strategy is not supported.
    """
    for key, value in arguments.items():
        if key in REFUSED and value is not None:
            raise ValueError(f"trainer.{key}={value} is not supported: {REFUSED[key]}")
        if target == "lightning.pytorch.Trainer" and key not in HONOURED | REFUSED.keys():
            close = get_close_matches(key, HONOURED, n=1)
            hint = f" (did you mean {close[0]!r}?)" if close else ""
            raise ValueError(
                f"unknown key 'trainer.{key}'{hint}; the keys are {', '.join(sorted(HONOURED))}"
            )
        if key in TYPES:
            _check_type(key, value)
    accelerator = arguments.get("accelerator")
    if isinstance(accelerator, str) and accelerator not in ACCELERATORS:
        raise ValueError(
            f"trainer.accelerator={accelerator}: it should be one of {', '.join(ACCELERATORS)}"
        )
    check_strategy(arguments.get("strategy"))


def _check_type(key: str, value: Any) -> None:
    kind, described = TYPES[key]
    try:
        TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        raise ValueError(f"trainer.{key}={as_yaml(value)}: it should be {described}") from error
    if key == "devices" and isinstance(value, str):
        is_list = re.fullmatch(r"\d+(,\d+)*,?", value) is not None and value != "0"
        if value not in ("auto", "-1") and not is_list:
            raise ValueError(f"trainer.devices={value}: it should be {described}")


_UNITS = ("weeks", "days", "hours", "minutes", "seconds")


def check_duration(value: Any) -> Any:
    """Checks a time span in the forms of Lightning's `Timer`: DD:HH:MM:SS, or numbers by unit.

    Raises:
        ValueError: It has another form, or is too long.
    """
    parts: dict[str, int] = {}
    if isinstance(value, str):
        found = re.fullmatch(r"(\d+):(\d\d):(\d\d):(\d\d)", value.strip(), flags=re.ASCII)
        if found is not None:
            parts = dict(zip(_UNITS[1:], map(int, found.groups()), strict=True))
    elif isinstance(value, dict) and value.keys() <= set(_UNITS):
        is_whole = all(type(each) is int and each >= 0 for each in value.values())
        parts = value if is_whole else {}
    if not parts:
        raise ValueError("a time is written DD:HH:MM:SS, such as 00:12:00:00, or {hours: 12}")
    try:
        timedelta(**parts)
    except OverflowError:
        raise ValueError("this time is too long") from None
    return value


def check_longer_than_0(value: Any) -> Any:
    """Checks a time span that is not empty.

    Raises:
        ValueError: It has another form, is too long, or is 0, so that nothing would be trained.
    """
    checked = check_duration(value)
    if _is_0(value):
        raise ValueError(f"{as_yaml(value)} would train nothing; it should be longer than 0")
    return checked


def _is_0(duration: Any) -> bool:
    if isinstance(duration, str):
        return re.search("[1-9]", duration) is None
    return not any(duration.values())


def check_interval(value: Any) -> Any:
    """Checks the interval between validations: steps, a fraction of an epoch, or a time.

    Raises:
        ValueError: It is none of these, or is 0.
    """
    if isinstance(value, str | dict):
        checked = check_duration(value)
        if _is_0(value):
            raise ValueError(f"{as_yaml(value)}: the time should be longer than 0")
        return checked
    if value is None or (type(value) is int and value > 0):
        return value
    if type(value) is float and 0 < value <= 1:
        return value
    raise ValueError(
        f"{value}: it should be a number of steps, a fraction of an epoch, or a time such as "
        "00:12:00:00"
    )
