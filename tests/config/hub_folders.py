"""Small folders in the layout of the hub's data sets that `conf/data/` has files for."""

import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow as pa
import yaml
from pyarrow import parquet

from clozekit.config.composition.location import conf_dir
from tests.programs.commands import compose_values

SIZES = {"train": 8, "validation": 4, "test": 3}
"""Rows of a split; a name that begins so, such as `validation_matched`, has as many."""

ENTAILMENT = ("entailment", "not_entailment")
SENTENCES = ("sentence1", "sentence2")

GLUE: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "cola": (("sentence",), ("unacceptable", "acceptable")),
    "sst2": (("sentence",), ("negative", "positive")),
    "mrpc": (SENTENCES, ("not_equivalent", "equivalent")),
    "stsb": (SENTENCES, ()),
    "qqp": (("question1", "question2"), ("not_duplicate", "duplicate")),
    "mnli": (("premise", "hypothesis"), ("entailment", "neutral", "contradiction")),
    "qnli": (("question", "sentence"), ENTAILMENT),
    "rte": (SENTENCES, ENTAILMENT),
    "wnli": (SENTENCES, ENTAILMENT[::-1]),
}
"""The columns of text and the classes of GLUE's tasks, in the hub's order; no classes of scores."""

TAGS = ["O", *(f"{p}-{t}" for t in ("PER", "ORG", "LOC", "MISC") for p in "BI")]

READY = (
    *(f"glue/{name}" for name in GLUE),
    *("squad", "squad_v2", "squad_bio", "conll2003", "swag"),
)
"""The files of `conf/data/` that name a data set of the hub."""

Columns = dict[str, list[Any]]
Config = tuple[list[dict[str, Any]], dict[str, Columns]]


def task_of(data: str) -> str:
    """Gives the task that a file of the data group is for, as its first line says."""
    first_line = (conf_dir() / "data" / f"{data}.yaml").read_text().partition("\n")[0]
    named = re.match(r"# For task=(\w+)\. ", first_line)
    return data if named is None else named[1]


def ready_overrides(hub: Path, data: str) -> list[str]:
    """Chooses a file of the data group, and in the hub's place the folder that is like it."""
    return [f"task={task_of(data)}", f"data={data}", f"data.path={hub / hub_name(data)}"]


@cache
def hub_name(data: str) -> str:
    """Gives the name on the hub that a file of the data group has."""
    return str(compose_values("train", "name=mine", f"data={data}")["data"]["path"])


def write_hub(hub: Path) -> Path:
    """Writes all data sets, each into a folder of its name on the hub."""
    glue = {name: _glue(name, *of_task) for name, of_task in GLUE.items()}
    _write(hub / "nyu-mll" / "glue", glue)
    _write(hub / "rajpurkar" / "squad", {"plain_text": _squad(unanswered_every=None)})
    _write(hub / "rajpurkar" / "squad_v2", {"squad_v2": _squad(unanswered_every=3)})
    _write(hub / "allenai" / "swag", {"regular": _swag(), "full": _texts(("startphrase",))})
    _write_conll(hub / "lhoestq" / "conll2003")
    return hub


def text(column: str, split: str, number: int) -> str:
    """What stands in a column of text."""
    return f"the {column} of {split} {number}"


def _size(split: str) -> int:
    return SIZES[split.partition("_")[0]]


def _texts(columns: Sequence[str], splits: Sequence[str] = tuple(SIZES)) -> Config:
    features = [{"name": column, "dtype": "string"} for column in columns]
    return features, {
        split: {column: [text(column, split, i) for i in range(_size(split))] for column in columns}
        for split in splits
    }


def _classes(names: Sequence[str]) -> dict[str, Any]:
    return {"class_label": {"names": {str(i): name for i, name in enumerate(names)}}}


def _labels(split: str, labels: Sequence[Any]) -> list[Any]:
    """Labels by turns; the test splits' are kept back."""
    size = _size(split)
    return (
        [-1] * size if split.startswith("test") else [labels[i % len(labels)] for i in range(size)]
    )


def _glue(name: str, columns: tuple[str, ...], classes: tuple[str, ...]) -> Config:
    genres = ("matched", "mismatched")
    splits = [
        "train",
        *(f"{split}_{genre}" for split in ("validation", "test") for genre in genres),
    ]
    features, tables = _texts(columns, splits if name == "mnli" else tuple(SIZES))
    features.append({"name": "label", "dtype": _classes(classes) if classes else "float32"})
    features.append({"name": "idx", "dtype": "int32"})
    for split, table in tables.items():
        table["label"] = _labels(split, range(len(classes)) if classes else (0.0, 2.5, 4.75))
        table["idx"] = list(range(_size(split)))
    return features, tables


def _squad(unanswered_every: int | None) -> Config:
    features, tables = _texts(("id", "title", "context", "question"), ("train", "validation"))
    answer = [{"name": "text", "dtype": "string"}, {"name": "answer_start", "dtype": "int32"}]
    features.append({"name": "answers", "sequence": answer})
    for split, table in tables.items():
        # The context is its own answer but for its first word, once or as several people gave it.
        counts = [1 if split == "train" else 3] * _size(split)
        if unanswered_every is not None:
            counts = [0 if i % unanswered_every == 0 else count for i, count in enumerate(counts)]
        table["answers"] = [
            {"text": [context[4:]] * count, "answer_start": [4] * count}
            for context, count in zip(table["context"], counts, strict=True)
        ]
    return features, tables


def _swag() -> Config:
    endings = [f"ending{number}" for number in range(4)]
    features, tables = _texts(("video-id", "startphrase", "sent1", "sent2", *endings))
    features.append({"name": "label", "dtype": _classes("0123")})
    for split, table in tables.items():
        table["label"] = _labels(split, (2, 0, 3, 1))
    return features, tables


def _write(folder: Path, configs: Mapping[str, Config]) -> None:
    """Writes Parquet files without features, and a card that has them."""
    for name, (_, tables) in configs.items():
        (folder / name).mkdir(parents=True)
        for split, table in tables.items():
            parquet.write_table(pa.table(table), folder / name / f"{split}-00000-of-00001.parquet")
    card = {
        "dataset_info": [
            {"config_name": name, "features": features} for name, (features, _) in configs.items()
        ],
        "configs": [
            {
                "config_name": name,
                "data_files": [{"split": s, "path": f"{name}/{s}-*"} for s in tables],
            }
            for name, (_, tables) in configs.items()
        ],
    }
    (folder / "README.md").write_text(f"---\n{yaml.safe_dump(card)}---\n")


def _write_conll(folder: Path) -> None:
    """Writes features where data sets of 2021 have them; each split ends in an empty sentence."""
    (folder / "data").mkdir(parents=True)
    for split, size in SIZES.items():
        tokens = [text("word", split, i).split() for i in range(size)]
        tags = [[(i + j) % len(TAGS) for j in range(5)] for i in range(size)]
        table = pa.table(
            {
                "id": [str(i) for i in range(size + 1)],
                "tokens": [*tokens, []],
                "ner_tags": [*tags, []],
            }
        )
        parquet.write_table(table, folder / "data" / f"{split}-00000-of-00001.parquet")
    string = {"dtype": "string", "id": None, "_type": "Value"}
    classes = {"num_classes": len(TAGS), "names": TAGS, "id": None, "_type": "ClassLabel"}
    features = {
        "id": string,
        "tokens": {"feature": string, "length": -1, "id": None, "_type": "Sequence"},
        "ner_tags": {"feature": classes, "length": -1, "id": None, "_type": "Sequence"},
    }
    infos = {"lhoestq--conll2003": {"description": "", "features": features}}
    (folder / "dataset_infos.json").write_text(json.dumps(infos))
