"""Mixtures: several corpora by name, each with a weight."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Discriminator, Field, Tag

from clozekit.config.groups import Closed
from clozekit.config.paths import PathText

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


class SourceConfig(Closed):
    """A source of a mixture.

    Attributes:
        path: The folder or URL of its corpus.
        weight: Its share of the samples is its weight divided by the sum of all weights.
    """

    path: PathText
    weight: float = Field(1.0, gt=0, le=1e9, allow_inf_nan=False)


def _checked_names(sources: dict[str, SourceConfig]) -> dict[str, SourceConfig]:
    """Checks the names, which are parts of the names of metrics, and sorts the sources by them.

    In the order of their names, a mixture is the same in whatever order it is written.
    """
    if not sources:
        raise ValueError("it should have at least one source, such as {news: {path: data/news}}")
    for name in sources:
        if not _NAME.fullmatch(name):
            raise ValueError(
                f"the source name {name!r} should have only letters, digits, - and _, and begin "
                "with a letter or digit"
            )
    return dict(sorted(sources.items()))


def _text_names(values: Any) -> Any:
    """Converts names that YAML reads as numbers, such as years, to text."""
    if not isinstance(values, Mapping):
        return values
    return {
        str(name) if isinstance(name, int | float) else name: value
        for name, value in values.items()
    }


def _check_sources(sources: Any) -> Any:
    for name, source in sources.items():
        if not isinstance(source, Mapping | SourceConfig):
            raise ValueError(
                f"{name}={source}: a source should be a mapping with path and weight, such as "
                "{news: {path: data/news, weight: 3}}"
            )
    return _text_names(sources)


def _checked_path(path: str) -> str:
    """Refuses what was meant as a mixture, but could not be parsed as one."""
    if path.startswith("[") and path.endswith("]") and not Path(path).exists():
        raise ValueError(
            f"{path} is a list; a mixture has a name for each corpus: "
            "{news: {path: data/news}, mails: {path: data/mails}}"
        )
    if path.startswith("{"):
        raise ValueError(
            f"{path} is not a mixture such as {{news: {{path: data/news, weight: 3}}}}; write "
            "quotes around paths with special characters"
        )
    return path


def _kind(value: Any) -> str:
    return "<sources>" if isinstance(value, Mapping) else "<path>"


CorpusPath = Annotated[
    Annotated[PathText, AfterValidator(_checked_path), Tag("<path>")]
    | Annotated[
        dict[str, SourceConfig],
        BeforeValidator(_check_sources),
        AfterValidator(_checked_names),
        Tag("<sources>"),
    ],
    Discriminator(_kind),
]
"""The path or URL of one corpus, or a mixture of several by name.

Tags in angle brackets are not part of a key in messages.
"""

Weights = Annotated[
    dict[str, Annotated[float, Field(ge=0, le=1e9, allow_inf_nan=False)]],
    BeforeValidator(_text_names),
]
"""The weights of sources in a phase, by name; 0 for no samples."""
