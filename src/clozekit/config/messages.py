"""Formats errors of Hydra, OmegaConf and pydantic: the key, the value and what is allowed."""

from difflib import get_close_matches

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import (
    ConfigCompositionException,
    HydraException,
    MissingConfigException,
    OverrideParseException,
)
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import (
    ConfigAttributeError,
    ConfigKeyError,
    MissingMandatoryValue,
    OmegaConfBaseException,
)
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from clozekit.config.location import conf_dir
from clozekit.config.values import as_yaml


def of_validation(error: ValidationError) -> str:
    """Formats a validation error, one line per key."""
    return "\n".join(_of_detail(detail, error.title) for detail in error.errors())


def of_omegaconf(error: OmegaConfBaseException) -> str:
    """Formats an error of resolving a configuration."""
    key = getattr(error, "full_key", None) or "the configuration"
    if isinstance(error, MissingMandatoryValue):
        return f"{key} is missing; set {key}=…"
    return f"{key}: {_first_line(error)}"


def of_hydra(error: HydraException, config_name: str, overrides: list[str]) -> str:
    """Formats an error of composing a configuration."""
    if isinstance(error, OverrideParseException):
        return f"{error.override!r} is not an override; write key=value"
    if isinstance(error, MissingConfigException):
        missing = error.missing_cfg_file or ""
        if error.options:
            group, name = _group_and_choice(missing, overrides)
            choices = sorted({*error.options, *_choices_in_folders(group)})
            return f"{group}={name} does not exist; the choices are {', '.join(choices)}"
        return _first_line(error)
    if isinstance(error, ConfigCompositionException):
        return _of_composition(error, config_name, overrides)
    return _first_line(error)


def _group_and_choice(missing: str, overrides: list[str]) -> tuple[str, str]:
    """Splits `data/glue/cola` or `hydra/launcher/joblib` at the same `/` as the override did."""
    parts = missing.split("/")
    splits = [("/".join(parts[:i]), "/".join(parts[i:])) for i in range(1, len(parts))]
    given = {override.partition("=")[0].lstrip("+~") for override in overrides}
    chosen = [(group, name) for group, name in splits if group in given]
    return next(iter([*chosen, *splits]), (missing, ""))


def _choices_in_folders(group: str) -> list[str]:
    """Lists the choices in subfolders of a group, which Hydra does not list."""
    folder = conf_dir() / group
    return [str(path.relative_to(folder).with_suffix("")) for path in folder.glob("*/*.yaml")]


def _of_composition(
    error: ConfigCompositionException, config_name: str, overrides: list[str]
) -> str:
    cause = error.__cause__
    if isinstance(cause, ConfigAttributeError | ConfigKeyError) and cause.full_key:
        return _unknown_key(str(cause.full_key), config_name, overrides)
    for override in overrides:
        key = override.split("=")[0].lstrip("+~")
        if f"'{key}'" in str(error) or f"'{override}'" in str(error):
            return f"{override}: {_first_line(error)}"
    return _first_line(error)


def _unknown_key(key: str, config_name: str, overrides: list[str]) -> str:
    group, _, name = key.rpartition(".")
    with_group = f" in {group}" if group else ""
    message = f"unknown key {key!r}"
    known = _known_keys(config_name, group, overrides)
    if not known:
        return message
    close = get_close_matches(name, known, n=1)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    return f"{message}{hint}; the keys{with_group} are {', '.join(sorted(known))}"


def _known_keys(config_name: str, group: str, overrides: list[str]) -> list[str]:
    """Lists a group's keys for the user's choices; none if these cannot be composed."""
    choices = [o for o in overrides if "=" in o and (conf_dir() / o.split("=")[0]).is_dir()]
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        try:
            composed = compose(config_name, overrides=choices)
        except HydraException:  # for example, a choice in the user's own --config-dir
            return []
    node = OmegaConf.select(composed, group) if group else composed
    return [str(key) for key in node] if isinstance(node, DictConfig) else []


def _of_detail(detail: ErrorDetails, title: str) -> str:
    key = ".".join(str(part) for part in detail["loc"])
    if detail["type"] == "value_error":
        message = str(detail["ctx"]["error"])
        return f"{key}: {message}" if key else message
    if detail["type"] == "extra_forbidden":
        return f"unknown key {key!r}"
    if detail["type"] == "missing":
        return f"{key} is missing"
    message = detail["msg"].replace("Input should", "it should")
    return f"{key}={as_yaml(detail['input'])}: {message}"


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0]
