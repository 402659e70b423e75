"""What the command line gives as it is: texts and paths, which Hydra would read as its grammar."""

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
"""The keys of a verb whose values are text as a person writes it."""

LIST_GROUPS: Mapping[str, tuple[str, ...]] = {"train": ("logger", "callbacks")}
"""The groups of a verb of which a run takes several choices; Hydra knows no null for these."""

POSITIONAL: Mapping[str, str] = {"report": "folder"}
"""The key of a verb that the first argument without a key stands for."""


def as_overrides(verb: str, arguments: Sequence[str]) -> list[str]:
    """Gives the arguments of a verb as overrides that Hydra reads as they are meant.

    `text=the movie was [MASK] .` becomes `text='the movie was [MASK] .'`. What Hydra reads as a
    text, or as null, stays as it is; so quotes that were written for Hydra hold. `logger=null`
    becomes `logger=[]`.

    Args:
        verb: The verb.
        arguments: What follows it on the command line.
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
    """Refuses `compile=true`: to Hydra no choice of a group is a truth.

    Raises:
        ConfigError: It says what there is instead.
    """
    for override in overrides:
        key, _, value = override.partition("=")
        if key == "compile" and {each.lower() for each in value.split(",")} & {"true", "false"}:
            raise ConfigError(f"{override}: it should be {COMPILE_CHOICES}")


def _is_text(override: str) -> bool:
    """Whether Hydra reads the value as a text or as null, not as a list, a number or a sweep."""
    try:
        parsed = OverridesParser.create().parse_override(override)
    except HydraException:
        return False
    return not parsed.is_sweep_override() and isinstance(parsed.value(), str | None)


def _quoted(key: str, text: str) -> str:
    return f"{key}={QuotedString(text, Quote.single).with_quotes()}"
