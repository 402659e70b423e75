"""Hydra without what it does twice: composing takes most of the time of a refused command."""

import pickle
from copy import copy
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from hydra._internal import config_loader_impl
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import CachingConfigRepository, IConfigRepository
from hydra._internal.defaults_list import DefaultsList, Overrides, create_defaults_list
from hydra._internal.hydra import Hydra
from hydra.core.default_element import ResultDefault
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, ListConfig, OmegaConf, _utils

from clozekit.config.composition.location import conf_dir

_compose = ConfigLoaderImpl._compose_config_from_defaults_list
_parse = OverridesParser.parse_rule
_cache = CachingConfigRepository.__init__
_defaults_lists: dict[tuple[Any, ...], DefaultsList] = {}
_composed: dict[int, bytes] = {}
_overrides: dict[str, Override] = {}


def make_hydra_quick() -> None:
    """Changes Hydra in this process; what it composes stays the same.

    Before a run, Hydra composes everything to look for `hydra.mode`, and drops every error of
    that. Only an override sets it here, and no test does. A YAML file is parsed once per content,
    an override once, and what a choice of groups says is composed once, as long as no file of the
    search path changes. The other overrides are applied to a copy.
    """
    Hydra.get_mode = _no_mode  # type: ignore[method-assign]
    OmegaConf.load = staticmethod(_load)  # type: ignore[method-assign]
    OverridesParser.parse_rule = _parse_once  # type: ignore[method-assign]
    config_loader_impl.create_defaults_list = _defaults_list  # type: ignore[assignment]
    ConfigLoaderImpl._compose_config_from_defaults_list = _compose_once  # type: ignore[method-assign]
    CachingConfigRepository.__init__ = _copy_repository  # type: ignore[method-assign]


def _no_mode(self: Hydra, config_name: str | None, overrides: list[str]) -> None:
    return None


def _load(file: Any) -> DictConfig | ListConfig:
    content = file.read() if hasattr(file, "read") else Path(file).read_text(encoding="utf-8")
    values = _parsed(content)
    if values is not None and not isinstance(values, list | dict | str):
        raise OSError(f"Invalid loaded object type: {type(values).__name__}")
    return OmegaConf.create() if values is None else OmegaConf.create(values)


@cache
def _parsed(content: str) -> Any:
    return yaml.load(content, Loader=_utils.get_yaml_loader())


def _parse_once(self: OverridesParser, text: str, rule_name: str) -> Any:
    if rule_name != "override":
        return _parse(self, text, rule_name)
    if text not in _overrides:
        _overrides[text] = _parse(self, text, rule_name)
    return copy(_overrides[text])


def _defaults_list(
    repo: IConfigRepository,
    config_name: str | None,
    overrides_list: list[Override],
    prepend_hydra: bool,
    skip_missing: bool,
) -> DefaultsList:
    sorted_out = Overrides(repo=repo, overrides_list=overrides_list)
    values = {id(override) for override in sorted_out.config_overrides}
    choices = [override.input_line for override in overrides_list if id(override) not in values]
    key = (_state(repo), config_name, tuple(choices), prepend_hydra, skip_missing)
    if key not in _defaults_lists:
        _defaults_lists[key] = create_defaults_list(
            repo, config_name, overrides_list, prepend_hydra, skip_missing
        )
    known = copy(_defaults_lists[key])
    known.config_overrides = sorted_out.config_overrides
    return known


def _state(repo: IConfigRepository) -> tuple[Any, ...]:
    """The search path, and the size and time of every file in it that may change.

    No test changes those of the checkout.
    """
    state: list[Any] = []
    for source in repo.get_sources():
        state.append((source.provider, source.scheme(), source.path))
        if source.scheme() == "file" and Path(source.path) != conf_dir():
            folder = Path(source.path).absolute()
            for path in sorted(folder.rglob("*.yaml")):
                status = path.stat()
                state.append((str(path), status.st_size, status.st_mtime_ns))
    return tuple(state)


def _compose_once(
    self: ConfigLoaderImpl, defaults: list[ResultDefault], repo: IConfigRepository
) -> DictConfig:
    # The lists are kept, so that no other has the place in memory of one of them.
    if id(defaults) not in _composed:
        _composed[id(defaults)] = pickle.dumps(_compose(self, defaults, repo))
    config: DictConfig = pickle.loads(_composed[id(defaults)])
    return config


def _copy_repository(self: CachingConfigRepository, delegate: IConfigRepository) -> None:
    # Nothing changes a source; the list of them is replaced.
    self.delegate = copy(delegate)
    self.cache = {}
