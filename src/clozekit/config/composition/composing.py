"""Composes configurations of `clozekit train` inside another verb, for the jobs that it starts."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from hydra import compose
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException
from pydantic import ValidationError

from clozekit.config.checks.key_conflicts import check_key_conflicts
from clozekit.config.composition.group_choices import check_choices
from clozekit.config.composition.location import conf_dir
from clozekit.config.composition.messages import (
    of_composition,
    of_hydra,
    of_omegaconf,
    of_validation,
)
from clozekit.config.composition.overrides import as_overrides, parsed
from clozekit.config.train import TrainConfig
from clozekit.errors import ConfigError


def compose_train(overrides: Sequence[str]) -> DictConfig:
    """Composes `clozekit train` with overrides as on its command line, without checking values.

    It only works in a verb that Hydra has started, whose folders of configurations it uses.

    Raises:
        ConfigError: The configuration cannot be composed.
    """
    verb = HydraConfig.get()
    given = as_overrides("train", overrides)
    check_choices("train", given, False)
    check_key_conflicts(given)
    searchpath = [o for o in verb.overrides.hydra if "hydra.searchpath" in o]
    try:
        composed = compose("train", [*given, *searchpath], return_hydra_config=True)
    except HydraException as error:
        raise ConfigError(of_hydra(error, "train", given)) from error
    except OmegaConfBaseException as error:
        raise ConfigError(of_omegaconf(error)) from error
    except Exception as error:
        # Hydra raises errors of many kinds for values that it does not expect.
        raise ConfigError(of_composition(error)) from error
    return composed


def checked_train(composed: DictConfig, changes: Mapping[str, Any]) -> TrainConfig:
    """Resolves and checks a composed configuration after some changes.

    Args:
        composed: The composed configuration, which stays as it is.
        changes: New values by the full paths of existing keys.

    Raises:
        ConfigError: A value is missing or invalid.
    """
    known, changed = HydraConfig.instance(), composed.copy()
    of_the_verb = known.cfg
    for key, value in changes.items():
        OmegaConf.update(changed, key, value)
    try:
        known.set_config(changed)  # for ${hydra:…} interpolations
        with open_dict(changed):
            del changed["hydra"]
        values = OmegaConf.to_container(changed, resolve=True, throw_on_missing=True)
        return TrainConfig.model_validate(values)
    except ValidationError as error:
        raise ConfigError(of_validation(error)) from error
    except OmegaConfBaseException as error:
        raise ConfigError(of_omegaconf(error)) from error
    finally:
        known.cfg = of_the_verb


def first_setting() -> list[str]:
    """Returns the first value of each key that the verb's experiment sweeps and that is not given.

    An interval has no first value: its key keeps its default.
    """
    verb = HydraConfig.get()
    given = {override.partition("=")[0].lstrip("+") for override in verb.overrides.task}
    first = []
    for key, value in (verb.sweeper.get("params") or {}).items():
        override = parsed(f"{key}={value}")
        if override is None or str(key).lstrip("+") in given:
            continue
        if not override.is_sweep_override():
            first.append(f"{key}={value}")
        elif override.is_discrete_sweep():
            first.append(f"{key}={next(iter(override.sweep_string_iterator()))}")
    return first


def options_of_jobs() -> list[str]:
    """Returns the options with which a job finds the same configurations as this verb."""
    verb = HydraConfig.get()
    options = []
    for source in verb.runtime.config_sources:
        if source.provider == "command-line":
            options += ["--config-dir", source.path]
        elif source.provider == "main" and source.path != str(conf_dir()):
            options += ["--config-path", source.path]
    return [*options, *(o for o in verb.overrides.hydra if "hydra.searchpath" in o)]


def as_override(key: str, value: Any) -> str:
    """Writes a value as an override that Hydra reads as that value.

    Raises:
        ConfigError: Overrides have no such value.
    """
    return f"{key}={_written(key, value)}"


def _written(key: str, value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        plain = parsed(f"{key}={value}")
        if plain is not None and not plain.is_sweep_override() and plain.value() == value:
            return value
        return QuotedString(value, Quote.single).with_quotes()
    if isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
        return repr(value)
    if isinstance(value, list):
        return f"[{','.join(_written(key, each) for each in value)}]"
    if isinstance(value, dict):
        pairs = (f"{_written(key, str(k))}:{_written(key, v)}" for k, v in value.items())
        return f"{{{','.join(pairs)}}}"
    raise ConfigError(f"{key}={value!r} is not text, a number, a list or a mapping")
