"""Quotes texts and paths on the command line, which Hydra would otherwise parse as its grammar."""

from collections.abc import Mapping, Sequence

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException

from clozekit.config.train import COMPILE_CHOICES
from clozekit.errors import ConfigError

TEXT_KEYS: Mapping[str, tuple[str, ...]] = {
    "predict": ("text", "text_pair"),
    "report": ("folder",),
}
"""The keys of each verb with free text as their value."""

LIST_GROUPS: Mapping[str, tuple[str, ...]] = {"train": ("logger", "callbacks")}
"""The groups of each verb that accept several choices. Hydra has no null for these."""

POSITIONAL: Mapping[str, str] = {"report": "folder"}
"""The key of each verb that can be given as a positional argument."""


def as_overrides(verb: str, arguments: Sequence[str]) -> list[str]:
    """Converts a verb's command-line arguments to overrides that Hydra parses as intended.

    `text=the movie was [MASK] .` becomes `text='the movie was [MASK] .'`. Values that Hydra already
    parses as a string or null are unchanged, so Hydra's own quoting works. `logger=null` becomes
    `logger=[]`.

    Args:
        verb: The verb.
        arguments: The arguments after the verb.
    """
    positional = POSITIONAL.get(verb)
    overrides = []
    for argument in arguments:
        if positional is not None and "=" not in argument and not argument.startswith("-"):
            overrides.append(_quoted(positional, argument))
            positional = None
            continue
        key, equals, value = argument.partition("=")
        if key in LIST_GROUPS.get(verb, ()) and value in ("null", "") and equals:
            overrides.append(f"{key}=[]")
            continue
        is_text = equals and key in TEXT_KEYS.get(verb, ()) and not _is_text(argument)
        overrides.append(_quoted(key, value) if is_text else argument)
    return overrides


def refuse_booleans(overrides: Sequence[str]) -> None:
    """Rejects `compile=true`, because a choice of a group cannot be a boolean in Hydra.

    Raises:
        ConfigError: An override sets `compile` to true or false.
    """
    for override in overrides:
        key, _, value = override.partition("=")
        if key == "compile" and {each.lower() for each in value.split(",")} & {"true", "false"}:
            raise ConfigError(f"{override}: it should be {COMPILE_CHOICES}")


def _is_text(override: str) -> bool:
    """Whether Hydra parses the value as a string or null, not as a list, number or sweep."""
    try:
        parsed = OverridesParser.create().parse_override(override)
    except HydraException:
        return False
    return not parsed.is_sweep_override() and isinstance(parsed.value(), str | None)


def _quoted(key: str, text: str) -> str:
    return f"{key}={QuotedString(text, Quote.single).with_quotes()}"
