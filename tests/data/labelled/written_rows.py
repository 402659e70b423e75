"""Rows in files of every format, and what reads them."""

import csv
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from clozekit.data.files.rows import (
    Rows,
)
from clozekit.data.labelled.classification import ClassificationDataModule
from clozekit.data.labelled.labelled_datamodule import LabelledDataModule
from tests.data.spelling import spelling_tokenizer

COLUMNS = ("text", "label")
Values = list[tuple[Any, ...]]


def write_csv(path: Path, rows: Values, columns: tuple[str, ...] = COLUMNS) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([columns, *rows])


def write_tsv(path: Path, rows: Values) -> None:
    lines = ["\t".join("" if value is None else str(value) for value in row) for row in rows]
    path.write_text("\n".join(["\t".join(COLUMNS), *lines]) + "\n", encoding="utf-8")


def write_jsonl(path: Path, rows: Values) -> None:
    objects = [json.dumps(dict(zip(COLUMNS, row, strict=True))) for row in rows]
    path.write_text("\n".join(objects) + "\n", encoding="utf-8")


def write_json(path: Path, rows: Values) -> None:
    objects = [dict(zip(COLUMNS, row, strict=True)) for row in rows]
    path.write_text(json.dumps(objects), encoding="utf-8")


def write_parquet(path: Path, rows: Values) -> None:
    table = pa.table({c: [row[i] for row in rows] for i, c in enumerate(COLUMNS)})
    parquet.write_table(table, path)


WRITERS: dict[str, Callable[[Path, Values], None]] = {
    "csv": write_csv,
    "tsv": write_tsv,
    "jsonl": write_jsonl,
    "json": write_json,
    "parquet": write_parquet,
}


def written(folder: Path, ending: str, rows: Values, gzipped: bool = False) -> str:
    path = folder / f"rows.{ending}"
    WRITERS[ending](path, rows)
    return str(zipped(path) if gzipped else path)


def zipped(path: Path) -> Path:
    target = path.with_name(path.name + ".gz")
    target.write_bytes(gzip.compress(path.read_bytes()))
    return target


def read(rows: Rows) -> list[dict[str, Any]]:
    return [dict(row) for _, row in rows]


def datamodule(
    train: str, kind: type[LabelledDataModule[Any]] = ClassificationDataModule, **changes: Any
) -> LabelledDataModule[Any]:
    arguments = {
        "tokenizer": spelling_tokenizer(),
        "validation": train,
        "seed": 0,
        "global_batch_size": 4,
        "micro_batch_size": 4,
    }
    return kind(**{"train": train, **arguments, **changes})
