"""Early checks of clozekit's own components, before their classes are imported."""

import os
import shutil

from clozekit.config import callbacks, data
from clozekit.config.checks.checking import checked
from clozekit.config.checks.loggers import check_loggers
from clozekit.config.checks.optimizers import check_optimizer
from clozekit.config.registry import DATA, TASKS
from clozekit.config.train import TrainConfig
from clozekit.errors import ConfigError


def check_components(config: TrainConfig) -> None:
    """Checks the components' arguments, the data files, and the needs of loggers and `compile`.

    Raises:
        ConfigError: A value is invalid.
        DataError: A file or folder does not exist.
    """
    _check_task(config)
    for name, callback in config.callbacks.items():
        if callback is not None and callback.target in callbacks.SCHEMAS:
            schema = callbacks.SCHEMAS[callback.target]
            given = checked(f"callbacks.{name}", schema, callback.model_extra or {})
            if isinstance(given, callbacks.ProbesConfig):
                given.check_files(f"callbacks.{name}")
    check_optimizer(config.optimizer.target, config.optimizer.model_extra or {})
    _check_data(config)
    _check_negatives(config)
    _check_repeated_steps(config)
    check_loggers(config)
    if config.compile.enabled:
        _check_compiler()


def check_task_and_data(config: TrainConfig) -> None:
    """Checks the arguments of task and data, and the data files.

    Raises:
        ConfigError: A value is invalid.
        DataError: A file or folder does not exist.
    """
    _check_task(config)
    _check_data(config)


def _check_task(config: TrainConfig) -> None:
    schema = TASKS.get(config.task.target)
    if schema is not None:
        checked("task", schema, config.task.model_extra or {})


def _check_data(config: TrainConfig) -> None:
    schema = DATA.get(config.data.target)
    if schema is not None:
        checked("data", schema, config.data.model_extra or {}).check_files()


def _check_negatives(config: TrainConfig) -> None:
    """Checks that a step of training of embeddings has texts that are not similar."""
    given = config.data.model_extra or {}
    is_ours = DATA.get(config.data.target) is data.EmbeddingDataConfig
    if is_ours and given.get("global_batch_size") == 1 and given.get("negative_column") is None:
        raise ConfigError(
            "global_batch_size=1 would learn nothing: a pair is told from the other texts of its "
            "step; set at least 2, or data.negative_column"
        )


def _check_repeated_steps(config: TrainConfig) -> None:
    """Checks that the first steps, which alone are trained on, are not followed by a phase."""
    repeated = config.trainer.overfit_batches
    data = config.data.model_extra or {}
    phases = data.get("phases")
    has_several = {
        "phases": isinstance(phases, list) and len(phases) > 1,
        "first_phase": data.get("first_phase") is not None,
    }
    key = next((f"data.{name}" for name, several in has_several.items() if several), None)
    if repeated and key is not None:
        raise ConfigError(
            f"trainer.overfit_batches={repeated} repeats the first steps, so that only the first "
            f"phase of {key} would have an effect; set {key}=null, or trainer.overfit_batches=0"
        )


def _check_compiler() -> None:
    """Checks for a C++ compiler, which torch would miss only at the first step."""
    compilers = (os.environ.get("CXX", ""), "g++", "clang++")
    if not any(name and shutil.which(name) for name in compilers):
        raise ConfigError(
            "compile requires a C++ compiler: g++ or clang++ on the PATH, or one named by CXX"
        )
