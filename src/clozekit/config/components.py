"""Early checks of the components that ship with clozekit, before the classes are imported."""

import os
import shutil
from typing import Any

from pydantic import ValidationError

from clozekit.config import callbacks, data, tasks
from clozekit.config.loggers import check_loggers
from clozekit.config.messages import of_validation
from clozekit.config.train import TrainConfig
from clozekit.errors import ConfigError


def check_components(config: TrainConfig) -> None:
    """Checks the values of components, the data's files, and what loggers and `compile` need.

    Raises:
        ConfigError: A value cannot be used.
        DataError: A file or folder is missing.
    """
    task_schema = tasks.SCHEMAS.get(config.task.target)
    if task_schema is not None:
        parse("task", task_schema, config.task.model_extra or {})
    for name, callback in config.callbacks.items():
        if callback is not None and callback.target in callbacks.SCHEMAS:
            schema = callbacks.SCHEMAS[callback.target]
            parse(f"callbacks.{name}", schema, callback.model_extra or {})
    data_schema = data.SCHEMAS.get(config.data.target)
    if data_schema is not None:
        parse("data", data_schema, config.data.model_extra or {}).check_files()
    check_loggers(config)
    if config.compile.enabled:
        _check_compiler()


def _check_compiler() -> None:
    """Refuses `compile` where torch would find no compiler, at its first step."""
    compilers = (os.environ.get("CXX", ""), "g++", "clang++")
    if not any(name and shutil.which(name) for name in compilers):
        raise ConfigError(
            "compile=default needs a C++ compiler: g++ or clang++ on the PATH, or the name of "
            "one in CXX"
        )


def parse(group: str, schema: type[Any], values: dict[str, Any]) -> Any:
    """Checks a group's values against a schema.

    Raises:
        ConfigError: A line a key that cannot be used, by its whole name.
    """
    try:
        return schema.model_validate(values)
    except ValidationError as error:
        raise ConfigError(_within(group, of_validation(error))) from error


def _within(group: str, message: str) -> str:
    prefixed = []
    for line in message.splitlines():
        is_unknown = line.startswith("unknown key '")
        prefixed.append(
            line.replace("unknown key '", f"unknown key '{group}.", 1)
            if is_unknown
            else f"{group}.{line}"
        )
    return "\n".join(prefixed)
