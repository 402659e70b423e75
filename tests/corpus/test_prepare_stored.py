"""Preparing from a store and to it gives the corpus that local files give."""

import json
from pathlib import Path
from typing import Any

import pytest

from clozekit.corpus import pipeline
from clozekit.corpus.manifest import Corpus
from clozekit.errors import ConfigError, StoreError
from clozekit.prepare import prepare
from tests.corpus.stored_texts import content_of_store, put, stored_config
from tests.corpus.texts import (
    config,
    content_of,
    make_documents,
    prepare_text,
    write_csv,
    write_jsonl,
    write_parquet,
    write_text,
)
from tests.harness.s3 import Request, S3Server

DOCUMENTS = make_documents(80)
FORMATS = {
    "a.txt": ("text", write_text),
    "a.txt.gz": ("text", write_text),
    "a.jsonl": ("jsonl", write_jsonl),
    "a.jsonl.gz": ("jsonl", write_jsonl),
    "a.csv": ("csv", write_csv),
    "a.parquet": ("parquet", write_parquet),
}
SMALL = {"shard_tokens": 500}


@pytest.fixture(autouse=True)
def small_partitions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "PARTITION_BYTES", 6_000)


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, Corpus]:
    """The corpus of local text files, and that of local tables."""
    folder = tmp_path_factory.mktemp("local")
    text, table = (
        write_text(folder / "a.txt", DOCUMENTS),
        write_jsonl(folder / "a.jsonl", DOCUMENTS),
    )
    source = {"format": "jsonl", "path": str(table), "id_column": "id"}
    corpora = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "PARTITION_BYTES", 6_000)
        corpora[False] = prepare_text(folder / "text", text, **SMALL)
        corpora[True] = prepare(config(folder / "table", source, **SMALL))
    return corpora


def shards_and_tokenizer(content: dict[str, bytes]) -> dict[str, bytes]:
    return {name: data for name, data in content.items() if name != "manifest.json"}


def source_of(url: str, file_format: str) -> dict[str, Any]:
    source = {"format": file_format, "path": url}
    return source if file_format == "text" else source | {"id_column": "id"}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_corpus_of_local_files(
    tmp_path: Path, s3: S3Server, bucket: str, local: dict[bool, Corpus], name: str
) -> None:
    file_format, write = FORMATS[name]
    url = put(s3, write(tmp_path / name, DOCUMENTS), f"{bucket}/texts/{name}")
    source = source_of(url, file_format)
    wanted = stored_config(f"{bucket}/corpus", tmp_path / "work", source, **SMALL)
    corpus = prepare(wanted)
    expected = local[file_format != "text"]
    assert corpus.hash == expected.hash
    content = content_of_store(s3, f"{bucket}/corpus")
    assert shards_and_tokenizer(content) == shards_and_tokenizer(content_of(expected.folder))
    assert len(content) > 6
    assert json.loads(content["manifest.json"])["configuration"] == wanted.identity()
    assert list((tmp_path / "work").iterdir()) == []
