"""Hydra without what it does twice: composing takes most of the time of a refused command."""

from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from hydra._internal.hydra import Hydra
from omegaconf import DictConfig, ListConfig, OmegaConf, _utils


def make_hydra_quick() -> None:
    """Changes Hydra in this process; what it composes stays the same.

    Before a run, Hydra composes everything to look for `hydra.mode`, and drops every error of
    that. Only an override sets it here, and no test does. A YAML file is parsed once per content.
    """
    Hydra.get_mode = _no_mode  # type: ignore[method-assign]
    OmegaConf.load = staticmethod(_load)  # type: ignore[method-assign]


def _no_mode(self: Hydra, config_name: str | None, overrides: list[str]) -> None:
    return None


def _load(file: Any) -> DictConfig | ListConfig:
    content = file.read() if hasattr(file, "read") else Path(file).read_text(encoding="utf-8")
    values = _parsed(content)
    if values is not None and not isinstance(values, list | dict | str):
        raise OSError(f"Invalid loaded object type: {type(values).__name__}")
    return OmegaConf.create() if values is None else OmegaConf.create(deepcopy(values))


@cache
def _parsed(content: str) -> Any:
    return yaml.load(content, Loader=_utils.get_yaml_loader())
