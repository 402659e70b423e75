"""Early checks of the components that ship with clozekit, before the classes are imported."""

import os
import shutil

from clozekit.config.checking import checked
from clozekit.config.data import SCHEMAS
from clozekit.config.loggers import check_loggers
from clozekit.config.train import TrainConfig
from clozekit.errors import ConfigError


def check_components(config: TrainConfig) -> None:
    """Checks the data group's values and files, and what the loggers and `compile` need.

    Raises:
        ConfigError: A value cannot be used.
        DataError: A file or folder is missing.
    """
    schema = SCHEMAS.get(config.data.target)
    if schema is not None:
        checked("data", schema, config.data.model_extra or {}).check_files()
    check_loggers(config)
    if config.compile:
        _check_compiler()


def _check_compiler() -> None:
    """Refuses `compile` where torch would find no compiler, at its first step."""
    compilers = (os.environ.get("CXX", ""), "g++", "clang++")
    if not any(name and shutil.which(name) for name in compilers):
        raise ConfigError(
            "compile=true needs a C++ compiler: g++ or clang++ on the PATH, or the name of one in "
            "CXX"
        )
