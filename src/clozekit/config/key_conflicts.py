"""Refuses overrides of which one silently discards another: a key, and keys inside it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.override_parser.types import ChoiceSweep, Override

from clozekit.config.group_choices import is_group
from clozekit.config.overrides import parsed
from clozekit.errors import ConfigError


@dataclass(frozen=True)
class _Setting:
    """A value that an override sets; a mapping sets several.

    Attributes:
        text: The override.
        given: The key of the override.
        key: The key of the value: that of the override, or one inside its mapping.
        is_list: Whether the value is a list, whose items later overrides may change.
    """

    text: str
    given: str
    key: str
    is_list: bool


def check_key_conflicts(overrides: Sequence[str]) -> None:
    """Checks that no override replaces the keys that another one sets inside it.

    `data.path=a data.path.news.path=b` sets one corpus and a mixture, and Hydra uses what it reads
    last. A mapping and keys inside it are merged, so they may be given together. A list may be
    changed by keys after it, but it replaces those before it. Of one key given twice, the last
    value counts, as always in Hydra.

    Raises:
        ConfigError: Two overrides exclude each other.
    """
    settings = [each for text in overrides for each in _settings(text)]
    for place, outer in enumerate(settings):
        others = settings[:place] if outer.is_list else settings
        for inner in others:
            if inner.given != outer.given and inner.key.startswith(f"{outer.key}."):
                raise ConfigError(_in_words(outer, inner))


def has_value_around(override: str, keys: Sequence[str]) -> bool:
    """Whether an override sets a single value for a key that has some of these keys inside it."""
    outer = [each.key for each in _settings(override) if not each.is_list]
    return any(key.startswith(f"{each}.") for key in keys for each in outer)


def _in_words(outer: _Setting, inner: _Setting) -> str:
    both = f"{outer.text.lstrip('+')} and {inner.text.lstrip('+')} exclude each other"
    if outer.is_list:
        return f"{both}: the list replaces {inner.key}; give the list first, or only one of them"
    return f"{both}: {outer.key} is one value, or it has keys inside it; give one of the two"


def _settings(text: str) -> Iterator[_Setting]:
    override = None if text.startswith("-") else parsed(text)
    if override is None or override.is_delete():
        return
    for key, value in _leaves(override.key_or_group, override):
        if not is_group(key):
            yield _Setting(text, override.key_or_group, key, isinstance(value, list))


def _leaves(key: str, override: Override) -> Iterator[tuple[str, Any]]:
    """Yields the keys and values of an override; of a sweep, those of each choice."""
    value = override.value()
    choices = value.list if isinstance(value, ChoiceSweep) else [value]
    for choice in choices:
        yield from _of_value(key, choice)


def _of_value(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    if not isinstance(value, dict):
        yield key, value
        return
    for name, inner in value.items():
        yield from _of_value(f"{key}.{getattr(name, 'text', name)}", inner)
