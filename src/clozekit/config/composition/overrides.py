"""Quotes text and paths on the command line, which Hydra would otherwise parse as its grammar."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, Quote, QuotedString
from hydra.errors import HydraException

from clozekit.config.checks.trainer_keys import NOT_IN_CONF, REFUSED
from clozekit.config.composition.class_names import with_names_as_written

FREE_TEXT = ("text", "text_pair")
"""The keys of `predict` with text in which `${…}` has no meaning."""

_OF_A_RUN = (
    *("name", "runs_dir", "resume", "from_run", "budget", "encoder.pretrained"),
    *("data.path", "data.name", "data.train", "data.validation", "data.test", "data.tokenizer"),
    *("data.text_column", "data.text_pair_column", "data.label_column", "data.score_column"),
    *("data.words_column", "data.tags_column", "data.question_column", "data.context_column"),
    *("data.answers_column", "data.id_column"),
    *("callbacks.probes.train", "callbacks.probes.validation"),
)

TEXT_KEYS: Mapping[str, tuple[str, ...]] = {
    "prepare": (
        *("out", "work_dir", "source.path", "source.name", "source.split"),
        *("source.text_column", "source.id_column", "tokenizer.path", "tokenizer.base"),
    ),
    "train": _OF_A_RUN,
    "inspect": (*_OF_A_RUN, "out"),
    "evaluate": ("checkpoint", "input", "out"),
    "predict": ("checkpoint", "input", "output", *FREE_TEXT),
    "benchmark": ("checkpoint", "name", "runs_dir"),
    "export": ("checkpoint", "out"),
    "merge": ("out",),
    "report": ("folder", "metric"),
}
"""The keys of each verb whose value is text: never a number, a list, or several values."""

_TRAINER_KEYS = "|".join(sorted(NOT_IN_CONF | REFUSED.keys()))
_OF_TRAIN = re.compile(rf"trainer\.(({_TRAINER_KEYS})(\..*)?|strategy)")

NEW_KEYS: Mapping[str, re.Pattern[str]] = {
    "benchmark": re.compile(r"suite\.tasks\..*"),
    "train": _OF_TRAIN,
    "inspect": _OF_TRAIN,
}
"""Keys of each verb that the command line may add without a +."""

LIST_GROUPS: Mapping[str, tuple[str, ...]] = dict.fromkeys(
    ("train", "inspect"), ("logger", "callbacks")
)
"""The groups of each verb that accept several choices. Hydra has no null for these."""

POSITIONAL: Mapping[str, str] = {"report": "folder"}
"""The key of each verb that can be given as a positional argument."""


NAMED_GROUPS: Mapping[str, tuple[str, ...]] = dict.fromkeys(("train", "inspect"), ("data.path",))
"""The keys of each verb whose value may also be groups under names that the user chooses."""

BY_CLASS: Mapping[str, tuple[str, ...]] = dict.fromkeys(
    ("train", "inspect"), ("task.class_weights",)
)
"""The keys of each verb whose value may be a mapping of classes, whose names are text."""


def as_overrides(verb: str, arguments: Sequence[str], is_multirun: bool = False) -> list[str]:
    """Converts a verb's command-line arguments to overrides that Hydra parses as intended.

    `data.train=data (1).csv` becomes `data.train='data (1).csv'`. Values that Hydra parses already
    are unchanged, so Hydra's own quoting works; only the text keys also take numbers and lists as
    text. `logger=null` becomes `logger=[]`. `data.path.news.path=data/news` becomes
    `++data.path.news.path=data/news`, after `data.path={}` if nothing sets `data.path` before.
    `trainer.min_steps=5` becomes `++trainer.min_steps=5`. `task.class_weights={2.10: 5}` becomes
    `task.class_weights='{"2.10": 5}'`.

    Args:
        verb: The verb.
        arguments: The arguments after the verb.
        is_multirun: Whether the command is a sweep, in which commas separate values.
    """
    positional = POSITIONAL.get(verb)
    overrides = []
    for argument in arguments:
        if positional is not None and _is_positional(argument):
            overrides.append(quoted(positional, argument))
            positional = None
            continue
        key, equals, value = argument.partition("=")
        name = key.lstrip("+")
        if not equals or key.startswith(("-", "~")):
            overrides.append(argument)
            continue
        if key == name and _is_new(verb, key):
            key = f"++{key}"
        if key in LIST_GROUPS.get(verb, ()) and value in ("null", ""):
            overrides.append(f"{key}=[]")
        elif _is_list_of_overrides(verb, name) and value[:1] == "[" and value[-1:] == "]":
            overrides.append(f"{key}=[{','.join(map(_as_element, between_commas(value[1:-1])))}]")
        elif (group := _group_of(verb, name)) is not None:
            if not any(override.lstrip("+").startswith(f"{group}") for override in overrides):
                overrides.append(f"{group}={{}}")
            write = _as_text if name.endswith(".path") else _quoted_if_needed
            overrides.append(write(f"++{name}", value, is_multirun))
        elif _is_text(verb, name):
            overrides.append(_as_text(key, value, is_multirun, verb == "predict"))
        elif name in BY_CLASS.get(verb, ()):
            values = between_commas(value) if is_multirun else (value,)
            value = ",".join(map(_by_class, values))
            overrides.append(_quoted_if_needed(key, value, is_multirun))
        else:
            overrides.append(_quoted_if_needed(key, value, is_multirun))
    return overrides


def _is_new(verb: str, key: str) -> bool:
    return verb in NEW_KEYS and NEW_KEYS[verb].fullmatch(key) is not None


def _is_text(verb: str, key: str) -> bool:
    """Whether the value of a key is text; the data of a suite's task has the keys of `train`."""
    parts = key.split(".", 3)
    if verb == "benchmark" and parts[:2] == ["suite", "tasks"] and len(parts) == 4:
        return parts[3] in TEXT_KEYS["train"]
    return key in TEXT_KEYS.get(verb, ())


def _is_list_of_overrides(verb: str, key: str) -> bool:
    """Whether the value of a key is a list of overrides, which Hydra's lists cannot have."""
    return verb == "benchmark" and (key == "overrides" or key.endswith(".overrides"))


def _as_element(override: str) -> str:
    is_quoted = len(override) > 1 and override[0] == override[-1] and override[0] in "'\""
    return override if is_quoted or not override else quoted("", override.strip())[1:]


def _by_class(value: str) -> str:
    """Quotes a mapping of classes if Hydra would not read each name as the text that it is."""
    found = parsed(f"key={value}")
    mapping = None if found is None or found.is_sweep_override() else found.value()
    if found is not None and (
        not isinstance(mapping, dict) or all(type(name) is str for name in mapping)
    ):
        return value
    text = with_names_as_written(value.strip(), _value_of)
    return value if text is None else quoted("", text)[1:]


def _value_of(text: str) -> Any:
    found = parsed(f"key={text}")
    return text if found is None or found.is_sweep_override() else found.value()


def _group_of(verb: str, key: str) -> str | None:
    """Returns the key that has groups under names of the user's, if this key is in one of them."""
    groups = NAMED_GROUPS.get(verb, ())
    return next((group for group in groups if key.startswith(f"{group}.")), None)


def parsed(override: str) -> Override | None:
    """Parses an override; None if Hydra's grammar does not have it."""
    try:
        return OverridesParser.create().parse_override(override)
    except (HydraException, RecursionError):
        return None


def quoted(key: str, text: str) -> str:
    """Returns an override with a quoted text."""
    return f"{key}={QuotedString(text, Quote.single).with_quotes()}"


def _is_positional(argument: str) -> bool:
    if argument.startswith("-"):
        return False
    key, equals, _ = argument.partition("=")
    # The name of a folder may contain an equals sign.
    return not equals or ("/" in key and not key.startswith("hydra") and _exists(argument))


def _exists(path: str) -> bool:
    try:
        return Path(path).exists()
    except (OSError, ValueError):
        return False


def _as_text(key: str, value: str, is_multirun: bool, is_predict: bool = False) -> str:
    if is_predict and key.lstrip("+") in FREE_TEXT and "${" in value:
        return quoted(key, re.sub(r"(\\*)\$\{", lambda found: found[1] * 2 + r"\${", value))
    override = f"{key}={value}"
    found = parsed(override)
    if found is None:
        return _quoted_if_needed(key, value, is_multirun)
    if found.is_sweep_override():
        return override if is_multirun else quoted(key, value)
    if isinstance(found.value(), dict) and key.lstrip("+") in NAMED_GROUPS["train"]:
        return override
    is_text = isinstance(found.value(), str | None) and value == value.strip()
    return override if is_text else quoted(key, value)


def _quoted_if_needed(key: str, value: str, is_multirun: bool) -> str:
    """Quotes a value that Hydra cannot parse; in a sweep, each of the values that it cannot."""
    override = f"{key}={value}"
    if parsed(override) is not None:
        return override
    if not is_multirun:
        return _quoted_alone(key, value)
    values = [_quoted_alone(key, each).partition("=")[2] for each in between_commas(value)]
    return f"{key}={','.join(values)}"


def _quoted_alone(key: str, value: str) -> str:
    """Quotes a value that Hydra cannot parse, unless the key is to blame."""
    override, as_text = f"{key}={value}", quoted(key, value)
    is_text = parsed(override) is None and parsed(as_text) is not None
    return as_text if is_text else override


def between_commas(value: str) -> Iterator[str]:
    """Splits at the commas that are not in brackets or quotes."""
    depth, start, quote = 0, 0, ""
    for place, character in enumerate(value):
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"" and value[place - 1 : place] in ("", ","):
            quote = character
        elif character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
        elif character == "," and depth == 0:
            yield value[start:place]
            start = place + 1
    yield value[start:]
