"""Formats errors of Hydra, OmegaConf and pydantic: the key, the value and what is allowed."""

import re
import traceback
from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

import yaml
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
    ConfigIndexError,
    ConfigKeyError,
    KeyValidationError,
    MissingMandatoryValue,
    OmegaConfBaseException,
)
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from clozekit.config.checks.trainer_keys import HONOURED
from clozekit.config.composition.group_choices import choices_of, choices_with, is_group
from clozekit.config.composition.location import conf_dir
from clozekit.config.composition.overrides import LIST_GROUPS
from clozekit.config.values import as_yaml
from clozekit.errors import first_line

_PLAIN_TYPES = ("bool", "int", "float", "str", "none")
_OF_WHOLE_CONFIGURATIONS = ("experiment", "debug", "local")
_LISTS = ("list_type", "tuple_type")

LONGEST_WORD = 200
"""Longer values are shortened in messages."""


def shortened(message: str) -> str:
    """Shortens long values in a message."""
    return re.sub(
        rf"\S{{{LONGEST_WORD},}}",
        lambda found: f"{found[0][: LONGEST_WORD // 2]}…{found[0][-20:]}",
        message,
    )


def of_validation(error: ValidationError) -> str:
    """Formats a validation error, one line per key."""
    groups = _without_followers(_by_value(error))
    return "\n".join(_of_details(details, error.title) for details in groups)


def _by_value(error: ValidationError) -> list[list[ErrorDetails]]:
    """Groups the details of one value, which has one for each type that it could have."""
    groups: list[list[ErrorDetails]] = []
    for detail in error.errors():
        last = groups[-1][0] if groups else None
        is_same = (
            last is not None
            and len(detail["loc"]) > 1
            and last["loc"][:-1] == detail["loc"][:-1]
            and last["input"] is detail["input"]
            and "extra_forbidden" not in (last["type"], detail["type"])
            and "missing" not in (last["type"], detail["type"])
            and all(map(_is_tag, (last["loc"][-1], detail["loc"][-1])))
        )
        if is_same:
            groups[-1].append(detail)
        else:
            groups.append([detail])
    return groups


def _without_followers(groups: list[list[ErrorDetails]]) -> list[list[ErrorDetails]]:
    """Leaves out that a list is too short if that is because some of its items are wrong."""
    lists = {details[0]["loc"][:-1] for details in groups if details[0]["loc"]}
    return [
        details
        for details in groups
        if details[0]["type"] != "too_short" or details[0]["loc"] not in lists
    ]


def _is_tag(part: int | str) -> bool:
    """Whether a part of a place is one of the types of a value, not a key or an index in it."""
    return isinstance(part, str) and (
        part in _PLAIN_TYPES or re.search(r"[\[<-]", part) is not None
    )


def of_omegaconf(error: OmegaConfBaseException) -> str:
    """Formats an error of resolving a configuration."""
    key = getattr(error, "full_key", None) or "the configuration"
    if isinstance(error, MissingMandatoryValue):
        return f"{key} is missing; set {key}=…"
    return f"{key}: {first_line(error)}"


def of_hydra(error: HydraException, config_name: str, overrides: list[str]) -> str:
    """Formats an error of composing a configuration."""
    if isinstance(error, OverrideParseException):
        # `as_overrides` adds the ++ of keys with names of the user's.
        given = (error.override or "").removeprefix("++")
        return f"{given!r} is not an override; write key=value"
    if isinstance(error, MissingConfigException):
        missing = error.missing_cfg_file or ""
        group, name = _group_and_choice(missing, overrides)
        if error.options or is_group(group):
            choices = sorted({*(error.options or ()), *choices_of(group)})
            return f"{group}={name} does not exist; the choices are {', '.join(choices)}"
        return first_line(error)
    if isinstance(error, ConfigCompositionException):
        return _of_composition(error, config_name, overrides)
    return first_line(error)


def of_composition(error: Exception) -> str:
    """Formats an error that Hydra does not expect: a YAML file, or a value that it rejects."""
    if isinstance(error, yaml.YAMLError):
        file = _file_being_read(error)
        mark = getattr(error, "problem_mark", None)
        problem = getattr(error, "problem", None) or first_line(error)
        place = "" if mark is None else f", line {mark.line + 1}"
        return f"{file or 'a configuration file'}{place}: {problem}"
    if isinstance(error, UnicodeDecodeError):
        return f"{_file_being_read(error) or 'a configuration file'} is not UTF-8 text: {error}"
    return f"the configuration cannot be composed: {first_line(error)}"


def _file_being_read(error: BaseException) -> Any:
    """Returns the file that Hydra was reading; its errors do not name it."""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if frame.f_code.co_name == "load_config" and "full_path" in frame.f_locals:
            return frame.f_locals["full_path"]
    return None


def _group_and_choice(missing: str, overrides: list[str]) -> tuple[str, str]:
    """Splits `data/glue/cola` or `hydra/launcher/joblib` at the same `/` as the override did."""
    parts = missing.split("/")
    splits = [("/".join(parts[:i]), "/".join(parts[i:])) for i in range(1, len(parts))]
    given = {override.partition("=")[0].lstrip("+~") for override in overrides}
    chosen = [(group, name) for group, name in splits if group in given]
    return next(iter([*chosen, *splits]), (missing, ""))


def _of_composition(
    error: ConfigCompositionException, config_name: str, overrides: list[str]
) -> str:
    cause = error.__cause__
    if isinstance(cause, ConfigIndexError) and cause.full_key:
        return _no_item(re.sub(r"\[(\d+)\]", r".\1", str(cause.full_key)))
    if isinstance(cause, ConfigAttributeError | ConfigKeyError) and cause.full_key:
        return _unknown_key(str(cause.full_key), config_name, overrides)
    if isinstance(cause, OmegaConfBaseException) and not str(error):
        return _of_value_in_file(cause)
    # An override that adds or deletes a key is more likely to be the cause than others of that key.
    for override in sorted(overrides, key=lambda override: override[:1] not in "+~"):
        key = override.split("=")[0].lstrip("+~")
        if f"'{key}'" in str(error) or f"'{override}'" in str(error):
            return f"{override}: {first_line(error)}"
    return " ".join(str(error).splitlines()[:2]) or first_line(error)


def _of_value_in_file(error: OmegaConfBaseException) -> str:
    """Formats an error of a file's value; Hydra gives it without a message."""
    file = _file_being_read(error)
    place = ": ".join(str(part) for part in (file, error.full_key) if part)
    if isinstance(error, KeyValidationError):
        return (
            f"{place or 'a configuration file'}: a key is {_kind_of_key(error)}, which should be "
            "in quotation marks if it is a name"
        )
    return f"{place}: {first_line(error)}" if place else first_line(error)


def _kind_of_key(error: KeyValidationError) -> str:
    found = re.search(r"'(\w+)'", str(error))
    kind = found[1] if found else "not text"
    return {"NoneType": "null"}.get(kind, f"of type {kind}")


def _no_item(key: str) -> str:
    group, _, index = key.rpartition(".")
    return f"{key}: {group} has no item {index}, counted from 0; set the whole list, {group}=[…]"


def _unknown_key(key: str, config_name: str, overrides: list[str]) -> str:
    group, _, name = key.rpartition(".")
    parents = [key[: found.start()] for found in re.finditer(r"\.|$", key)]
    for removed in (f"~{parent}" for parent in parents):
        if any(override.partition("=")[0] == removed for override in overrides):
            return f"{removed}: other overrides set keys of {removed[1:]}"
    if group and name.isdecimal():
        return _no_item(key)
    with_group = f" in {group}" if group else ""
    message = f"unknown key {key!r}"
    owner, choices = choices_with(key)
    if choices:
        return f"{message} with this choice of {owner}; {_with_choices(owner, name, choices)}"
    known = _known_keys(config_name, group, overrides)
    if group == "trainer":
        known = sorted({*known, *HONOURED})
    if not known:
        return message
    close = get_close_matches(name, known, n=1)
    hint = f" (did you mean {close[0]!r}?)" if close else ""
    return f"{message}{hint}; the keys{with_group} are {', '.join(sorted(known))}"


def _with_choices(group: str, name: str, choices: list[str]) -> str:
    """Describes which choices of a group have a key."""
    if group in LIST_GROUPS["train"]:
        return f"add {choices[0]} to {group}=[…]"
    written = ", ".join(f"{group}={choice}" for choice in choices)
    return f"{name} is a key of {written}"


def _known_keys(config_name: str, group: str, overrides: list[str]) -> list[str]:
    """Lists a group's keys for the user's choices; none if these cannot be composed."""
    choices = [o for o in overrides if "=" in o and is_group(o.split("=")[0])]
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        try:
            composed = compose(config_name, overrides=choices)
        except HydraException:  # for example, a choice in the user's own --config-dir
            return []
    node = OmegaConf.select(composed, group) if group else composed
    return [str(key) for key in node] if isinstance(node, DictConfig) else []


def _of_details(details: list[ErrorDetails], title: str) -> str:
    """Formats the errors of one value; several if it could have several types."""
    first = details[0]
    if len(details) == 1:
        return _of_detail(first, title)
    key = _key(first["loc"][:-1])
    alternatives = []
    for detail in details:
        if detail["type"] == "value_error":
            alternatives.append(str(detail["ctx"]["error"]))
        else:
            alternatives.append(_should(detail).removeprefix("it should be "))
    # Two types may have the same limit.
    allowed = ", or ".join(dict.fromkeys(alternatives))
    return f"{key}={as_yaml(first['input'])}: it should be {allowed}"


def _of_detail(detail: ErrorDetails, title: str) -> str:
    key = _key(detail["loc"])
    if detail["type"] == "value_error":
        message = str(detail["ctx"]["error"])
        return f"{key}: {message}" if key else message
    if detail["type"] == "extra_forbidden" and key in _OF_WHOLE_CONFIGURATIONS:
        return f"unknown key {key!r}; begin the file of {key}=… with the line # @package _global_"
    if detail["type"] == "extra_forbidden":
        return f"unknown key {key!r}"
    if detail["type"] == "missing":
        return f"{key} is missing"
    if detail["type"] == "model_type":
        return f"{key}={as_yaml(detail['input'])}: it should be a mapping with keys"
    if detail["type"] == "too_short":
        return f"{key}: {_should(detail)}"
    return f"{key}={as_yaml(detail['input'])}: {_should(detail)}"


def _should(detail: ErrorDetails) -> str:
    """Says what is allowed instead of a value."""
    if detail["type"] in _LISTS:
        return "it should be a list such as [a,b]"
    if detail["type"] == "too_short":
        least, given = detail["ctx"]["min_length"], detail["ctx"]["actual_length"]
        return f"it should have at least {least} {'value' if least == 1 else 'values'}, not {given}"
    return detail["msg"].replace("Input should", "it should")


def _key(parts: Sequence[int | str]) -> str:
    """Joins the parts of a key. Those in angle brackets are tags of a type, not parts of it."""
    return ".".join(str(part) for part in parts if not str(part).startswith("<"))
