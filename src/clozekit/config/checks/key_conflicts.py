"""Refuses overrides of which one silently discards another.

These are a key and keys inside it, sizes of an encoder whose weights are loaded, two objectives,
and a name that is twice in a mapping.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.override_parser.types import ChoiceSweep, Override

from clozekit.config.composition.group_choices import choices_of, is_group, overridden_by, values_of
from clozekit.config.composition.overrides import between_commas, parsed
from clozekit.config.encoder import EncoderConfig
from clozekit.errors import ConfigError

WITH_WEIGHTS = (
    *("target", "pretrained", "model_type", "classifier_pooling"),
    *("hidden_dropout_prob", "attention_probs_dropout_prob"),
)
"""The keys of an encoder that may differ from those of the encoder whose weights it has."""


@dataclass(frozen=True)
class _Setting:
    """A value that an override sets; a mapping sets several.

    Attributes:
        text: The override.
        given: The key of the override.
        key: The key of the value: that of the override, or one inside its mapping.
        value: The value.
    """

    text: str
    given: str
    key: str
    value: Any

    @property
    def is_list(self) -> bool:
        """Whether the value is a list, whose items later overrides may change."""
        return isinstance(self.value, list)


def check_key_conflicts(overrides: Sequence[str]) -> None:
    """Checks that no override replaces the keys that another one sets inside it.

    `data.path=a data.path.news.path=b` sets one corpus and a mixture, and Hydra uses what it reads
    last. A mapping and keys inside it are merged, so they may be given together. A list may be
    changed by keys after it, but it replaces those before it. Of one key given twice, the last
    value counts, as always in Hydra.

    Raises:
        ConfigError: Two overrides exclude each other.
    """
    for text in overrides:
        _check_names(text)
    settings = [each for text in overrides for each in _settings(text)]
    for place, outer in enumerate(settings):
        others = settings[:place] if outer.is_list else settings
        for inner in others:
            if inner.given != outer.given and inner.key.startswith(f"{outer.key}."):
                raise ConfigError(_in_words(outer, inner))
    _check_sizes_of_pretrained(settings, overrides)
    _check_objective(settings, overrides)


def given_values(overrides: Sequence[str]) -> dict[str, Any]:
    """Returns the values that overrides set, by their keys; the last one of a key counts."""
    return {each.key: each.value for text in overrides for each in _settings(text)}


def _check_sizes_of_pretrained(settings: Sequence[_Setting], overrides: Sequence[str]) -> None:
    """Checks that no size or part is given for an encoder that brings its own."""
    loaded = [setting for setting in settings if setting.key == "encoder.pretrained"]
    if not loaded or loaded[-1].value is None:
        return
    for text, choice in _choices(overrides, "encoder"):
        if not _has_more_than_sizes(choice):
            raise ConfigError(
                f"{text} has no effect with {loaded[-1].text.lstrip('+')}, whose encoder has its "
                "own sizes; remove one of the two"
            )
    for each in settings:
        group, _, name = each.key.partition(".")
        if group == "encoder" and name in EncoderConfig.model_fields and name not in WITH_WEIGHTS:
            raise ConfigError(
                f"{each.text.lstrip('+')} has no effect with {loaded[-1].text.lstrip('+')}, whose "
                f"encoder has its own {name}; remove one of the two"
            )


def _check_names(text: str) -> None:
    """Checks that no mapping in a value has a name twice, of which Hydra uses the last one."""
    key, _, value = text.partition("=")
    if "{" in value and parsed(text) is not None and (name := _name_given_twice(value)) is not None:
        raise ConfigError(
            f"{key.lstrip('+')}={value}: the name {name} is given twice; give each one another name"
        )


def _name_given_twice(value: str) -> str | None:
    value = value.strip()
    if value[:1] not in ("{", "[") or value[-1:] not in ("}", "]"):
        return None
    names = set()
    for part in between_commas(value[1:-1]):
        name, _, inner = part.partition(":") if value[0] == "{" else ("", "", part)
        name = name.strip().strip("'\"")
        if name in names and value[0] == "{":
            return name
        names.add(name)
        if (found := _name_given_twice(inner)) is not None:
            return found
    return None


def _check_objective(settings: Sequence[_Setting], overrides: Sequence[str]) -> None:
    """Checks that no other task, data or objective of pairs is given than the group's choice."""
    given = [setting for setting in settings if setting.key == "data.pair_objective"]
    for text, choice in _choices(overrides, "objective"):
        if given and choice not in ("None", str(given[-1].value)):
            raise ConfigError(
                f"{text} and {given[-1].text.lstrip('+')} exclude each other; give one of the two"
            )
        for group, own in overridden_by("objective", choice).items():
            for other, chosen in _choices(overrides, group):
                if chosen != own:
                    raise ConfigError(
                        f"{text} and {other} exclude each other; {text} has {group}={own}, so give "
                        "one of the two"
                    )


def _choices(overrides: Sequence[str], group: str) -> Iterator[tuple[str, str]]:
    """Yields the overrides that choose a file of a group, with each choice."""
    for text in overrides:
        override = parsed(text) if text.startswith(f"{group}=") else None
        if override is not None and not override.is_delete():
            for _, value in _leaves(group, override):
                yield text, str(getattr(value, "text", value))


def _has_more_than_sizes(choice: str) -> bool:
    """Whether a choice sets a key that weights leave open: those of ModernBERT, the dropout."""
    if choice not in choices_of("encoder"):
        return True  # a file of the user's own
    usual, values = values_of("encoder", "default"), values_of("encoder", choice)
    left_open = (*WITH_WEIGHTS, "_target_")
    return any(values.get(key) != usual.get(key) for key in left_open)


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
            yield _Setting(text, override.key_or_group, key, value)


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
