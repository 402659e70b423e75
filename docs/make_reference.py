"""Writes docs/configuration.md: every key of every verb and group, its type, default and meaning.

    python -m docs.make_reference

Types, limits and meanings come from the schemas, or from the constructors of classes that have
none; defaults from conf/; of a class of another library, from the comment beside the key in conf/.
"""

import inspect
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, get_type_hints

import yaml
from docs.type_words import type_in_words, type_of_values
from hydra import compose, initialize_config_dir
from hydra.utils import get_class
from omegaconf import OmegaConf
from pydantic import BaseModel, TypeAdapter
from pydantic.errors import PydanticSchemaGenerationError, PydanticUserError

from clozekit.config.data import SCHEMAS
from clozekit.config.encoder import EncoderConfig
from clozekit.config.evaluate import EvaluateConfig
from clozekit.config.export import ExportConfig
from clozekit.config.location import conf_dir
from clozekit.config.predict import PredictConfig
from clozekit.config.prepare import (
    ExistingTokenizerConfig,
    HubSource,
    MovieReviewsSource,
    PrepareConfig,
    TableSource,
    TextSource,
    WordPieceConfig,
)
from clozekit.config.report import ReportConfig
from clozekit.config.train import (
    CompileConfig,
    DivergenceConfig,
    FineTuningConfig,
    OptimizerConfig,
    ScheduleConfig,
    TrainConfig,
    TrainerConfig,
)

FILE = Path(__file__).with_name("configuration.md")
HEAD = """# Every configuration key

Made by `python -m docs.make_reference` from schemas, constructors and `conf/`: change those.

A verb takes its own keys, and groups of keys, each a folder of `conf/`. `group=choice` takes a file
of the folder, `group.key=value` changes a key. `clozekit VERB --help` lists both. *required* means
that there is no default.
"""

VERBS: dict[str, type[BaseModel]] = {
    "prepare": PrepareConfig,
    "train": TrainConfig,
    "evaluate": EvaluateConfig,
    "predict": PredictConfig,
    "export": ExportConfig,
    "report": ReportConfig,
}
NESTED: dict[str, type[BaseModel]] = {
    "divergence": DivergenceConfig,
    "fine_tuning": FineTuningConfig,
}
"""Keys of `train` that have keys of their own, but no choices."""

CLOSED: dict[str, dict[str, type[BaseModel]]] = {
    "source": {
        "text": TextSource,
        **dict.fromkeys(("jsonl", "csv", "parquet"), TableSource),
        "hub": HubSource,
        "movie_reviews": MovieReviewsSource,
    },
    "tokenizer": {"wordpiece": WordPieceConfig, "existing": ExistingTokenizerConfig},
}
"""Groups with a schema a choice."""

ALIKE: dict[str, type[BaseModel]] = {
    "encoder": EncoderConfig,
    "schedule": ScheduleConfig,
    "compile": CompileConfig,
}
"""Groups with one schema, whose choices are values."""

OPEN: dict[str, type[BaseModel] | None] = {
    "task": None,
    "data": None,
    "optimizer": OptimizerConfig,
    "trainer": TrainerConfig,
    "logger": None,
    "callbacks": None,
}
"""Groups that name a class by `_target_`, with the schema that all their choices share."""

NAMED = ("logger", "callbacks")
"""Groups of which a run takes several choices, each under a name."""

NO_CHOICES = ("default", "labelled")  # files that others begin with


def reference() -> str:
    """Gives the whole text."""
    sections = [HEAD]
    for verb, schema in VERBS.items():
        groups = [name for name in (*CLOSED, *ALIKE, *OPEN) if name in schema.model_fields]
        own = [name for name in schema.model_fields if name not in (*groups, *NESTED)]
        values = _composed(verb)
        sections.append(f"## clozekit {verb}\n\n{_first_sentence(schema)}\n")
        sections.append(_table(_closed_rows(schema, own, values)))
        for name, nested in NESTED.items():
            if name in schema.model_fields:
                sections.append(f"### `{name}`\n\n{_meanings(schema)[name]}\n")
                sections.append(_table(_closed_rows(nested, list(nested.model_fields), {}, name)))
        for group in groups:
            sections.append(f"### `{group}=`\n\n{_meanings(schema)[group]}\n")
            sections += _group(group)
    return "\n".join(sections)


def _group(group: str) -> Iterator[str]:
    if group in ALIKE:
        schema = ALIKE[group]
        for choice in _choices(group):
            values = {k: v for k, v in _file(group, choice).items() if k[0] != "_"}
            shown = ", ".join(f"{k}={_plain(v)}" for k, v in values.items() if k != "defaults")
            yield f"- `{choice}`: {shown}"
        yield ""
        yield _table(_closed_rows(schema, list(schema.model_fields), {}, group))
        return
    for title, choices in _by_class(group).items():
        yield f"#### {', '.join(f'`{choice}`' for choice in choices)}\n\n{title}\n"
        if group in CLOSED:
            schema = CLOSED[group][choices[0]]
            names = [name for name in schema.model_fields if name != "format"]
            yield _table(_closed_rows(schema, names, _file(group, choices[0]), group))
        else:
            yield _table(_open_rows(group, choices))


def _by_class(group: str) -> dict[str, list[str]]:
    """Sorts a group's choices by what is made of them, which is told in a sentence."""
    sorted_: dict[str, list[str]] = {}
    for choice in _choices(group):
        if group in CLOSED:
            title = _first_sentence(CLOSED[group][choice])
        else:
            _, values = _node(group, choice)
            target = values["_target_"]
            title = f"`{target}`"
            if target.startswith("clozekit."):
                title += f": {_first_sentence(get_class(target))}"
        sorted_.setdefault(title, []).append(choice)
    return sorted_


def _closed_rows(
    schema: type[BaseModel], names: list[str], values: dict[str, Any], prefix: str = ""
) -> Iterator[tuple[str, str, str, str]]:
    properties = schema.model_json_schema()["properties"]
    meanings = _meanings(schema)
    for name in names:
        field = schema.model_fields[name]
        default = "???" if field.is_required() else field.default
        word = field.alias or name
        key = f"{prefix}.{word}" if prefix else word
        yield (
            key,
            type_in_words(properties[word]),
            _default(values.get(word, default)),
            meanings[name],
        )


def _open_rows(group: str, choices: list[str]) -> Iterator[tuple[str, str, str, str]]:
    nodes = [_node(group, choice) for choice in choices]
    prefix, first = nodes[0]
    own_schema = SCHEMAS.get(first["_target_"])
    meanings, types = {}, {}
    if own_schema is None and first["_target_"].startswith("clozekit."):
        kind = get_class(first["_target_"])
        meanings, types = _meanings(kind), _types(kind)
    for schema in (own_schema, OPEN[group]):
        if schema is not None:
            meanings = _meanings(schema) | meanings
            types |= schema.model_json_schema()["properties"]
    comments = _comments(group, choices)
    for name in dict.fromkeys(name for _, values in nodes for name in values):
        if name == "_target_":
            continue
        meaning = meanings.get(name) or comments.get(name)
        if meaning is None:
            raise LookupError(f"conf/{group}/{choices[0]}.yaml: nothing says what {name} means")
        given = [values[name] for _, values in nodes if name in values]
        in_words = type_in_words(types[name]) if name in types else type_of_values(given)
        default = _default(first[name]) if name in first else "none"
        yield f"{prefix}.{name}", in_words, default, meaning


def _table(rows: Iterator[tuple[str, str, str, str]]) -> str:
    lines = [
        f"| `{key}` | {kind} | {default} | {meaning} |" for key, kind, default, meaning in rows
    ]
    if not lines:
        return "No keys.\n"
    return "\n".join(["| key | type | default | meaning |", "|---|---|---|---|", *lines, ""])


@cache
def _composed(verb: str, *overrides: str) -> dict[str, Any]:
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        composed = compose(verb, overrides=list(overrides))
    values = OmegaConf.to_container(composed, resolve=False)
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items()}


def _node(group: str, choice: str) -> tuple[str, dict[str, Any]]:
    """Gives the keys that a choice makes, and what stands before them on the command line."""
    verb = "prepare" if group in CLOSED else "train"
    values = _composed(verb, f"{group}={choice}")[group]
    if group in NAMED:
        return f"{group}.{choice}", values[choice]
    return group, values


def _choices(group: str) -> list[str]:
    folder = conf_dir() / group
    files = sorted(
        folder.rglob("*.yaml"), key=lambda file: (len(file.relative_to(folder).parts), file)
    )
    names = [file.relative_to(folder).with_suffix("").as_posix() for file in files]
    names = [name for name in names if name not in NO_CHOICES]
    return sorted(names, key=list(CLOSED[group]).index) if group in CLOSED else names


def _file(group: str, choice: str) -> dict[str, Any]:
    values = yaml.safe_load((conf_dir() / group / f"{choice}.yaml").read_text(encoding="utf-8"))
    return values or {}


def _comments(group: str, choices: list[str]) -> dict[str, str]:
    """Reads the comments beside keys, those of the group's other files first."""
    folder = conf_dir() / group
    comments: dict[str, str] = {}
    for file in [*sorted(folder.glob("*.yaml")), *(folder / f"{c}.yaml" for c in choices)]:
        for line in file.read_text(encoding="utf-8").splitlines():
            if match := re.match(r"\s*(\w+): .*?# (.+)$", line):
                comments[match[1]] = match[2][0].upper() + match[2][1:].rstrip(".") + "."
    return comments


def _meanings(kind: type) -> dict[str, str]:
    """Reads the `Args` and `Attributes` of a class and of its bases."""
    meanings: dict[str, str] = {}
    for each in kind.__mro__:
        if each.__module__.startswith("clozekit"):
            for name, meaning in _described(inspect.cleandoc(each.__doc__ or "")):
                meanings.setdefault(name, meaning)
    return meanings


def _described(docstring: str) -> Iterator[tuple[str, str]]:
    for section in re.split(r"\n(?=\w+:\n)", docstring):
        if section.startswith(("Args:", "Attributes:")):
            for entry in re.split(r"\n    (?=[*\w])", section)[1:]:
                name, _, meaning = entry.partition(":")
                yield name.strip("*"), re.sub(r"\bNone\b", "null", " ".join(meaning.split()))


def _types(kind: type) -> dict[str, Any]:
    """Gives the types of a constructor's arguments, as JSON Schema has them."""
    types: dict[str, Any] = {}
    for each in reversed(kind.__mro__):
        if not each.__module__.startswith("clozekit"):
            continue
        for name, hint in get_type_hints(each.__init__).items():
            try:
                types[name] = TypeAdapter(hint).json_schema()
            except (PydanticSchemaGenerationError, PydanticUserError):
                continue
    return types


def _default(value: Any) -> str:
    return "*required*" if value == "???" else f"`{_plain(value)}`"


def _plain(value: Any) -> str:
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json")
    if isinstance(value, Path):
        value = str(value)
    text = yaml.safe_dump(value, default_flow_style=True, width=1000, sort_keys=False)
    return text.removesuffix("\n").removesuffix("\n...").strip("'")


def _first_sentence(kind: type) -> str:
    return inspect.cleandoc(kind.__doc__ or "").partition("\n\n")[0].replace("\n", " ")


if __name__ == "__main__":
    FILE.write_text(reference(), encoding="utf-8")
