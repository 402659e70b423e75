"""Corpora that are damaged or hostile: refused in one sentence before the first step."""

import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from clozekit.corpus.manifest import Corpus
from clozekit.corpus.shard_files import ShardFile, check_first, shard_files
from clozekit.corpus.shards import Shard, write_shard
from clozekit.data.pretraining.pair_datamodule import PretrainingDataModule
from clozekit.errors import DataError
from clozekit.files import sha256_of_file

SHARD = "train-00000.arrow"


@pytest.fixture
def folder(corpus: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(corpus, tmp_path / "corpus"))


def opened(folder: Path) -> PretrainingDataModule:
    sizes = {"global_batch_size": 8, "micro_batch_size": 4, "max_seq_length": 32}
    return PretrainingDataModule(path=str(folder), seed=0, **sizes)


def change_manifest(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    file = folder / "manifest.json"
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))


def sign(folder: Path, **counts: int) -> None:
    """Makes the manifest agree with a changed shard, as an attacker would."""

    def change(content: dict[str, Any]) -> None:
        split = content["splits"]["train"]
        for shard in split["shards"]:
            if shard["file"] == SHARD:
                shard["sha256"] = sha256_of_file(folder / SHARD)
                for name, value in counts.items():
                    split[name] += value - shard[name]
                    shard[name] = value

    change_manifest(folder, change)


def refused(folder: Path) -> str:
    with pytest.raises(DataError) as caught:
        opened(folder)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_whole_corpus_is_opened(folder: Path) -> None:
    assert opened(folder).sources["train"].num_samples(0, 0) > 0


@pytest.mark.parametrize("split", ["train", "validation"])
def test_a_shard_with_other_tokens_is_refused(split: str, folder: Path) -> None:
    file = sorted(folder.glob(f"{split}-*.arrow"))[-1]
    shard = Shard.open(file)
    tokens = np.array(shard.tokens)
    tokens[: len(tokens) // 2] = tokens[0]
    write_shard(file, shard.ids, tokens, shard.sentence_offsets, shard.document_offsets)
    message = refused(folder)
    assert f"{file} has been changed or damaged: its SHA-256 is" in message
    assert "prepare it again" in message


def test_the_tokenizer_of_another_corpus_is_refused(folder: Path) -> None:
    file = folder / "tokenizer.json"
    content = json.loads(file.read_text())
    first, second = list(content["model"]["vocab"])[-2:]
    vocabulary = content["model"]["vocab"]
    vocabulary[first], vocabulary[second] = vocabulary[second], vocabulary[first]
    file.write_text(json.dumps(content))
    assert "is not the tokenizer that the corpus was prepared with" in refused(folder)


def test_shards_beyond_the_first_bytes_are_checked_when_they_are_read(folder: Path) -> None:
    (shard,) = shard_files(Corpus.open(folder), "train")[:1]
    shard.path.write_bytes(shard.path.read_bytes()[:-1] + b"x")
    check_first([shard], most_bytes=10)
    with pytest.raises(DataError, match="has been changed or damaged"):
        shard.open()


def test_a_shard_is_hashed_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[Path] = []

    def count(path: Path) -> str:
        hashed.append(path)
        return sha256_of_file(path)

    monkeypatch.setattr("clozekit.corpus.shard_files.sha256_of_file", count)
    datamodule = opened(folder)
    source = datamodule.sources["train"]
    for epoch in range(4):
        source.num_samples(epoch, 0)
    assert sorted(hashed) == sorted(folder.glob("*.arrow"))


@pytest.mark.parametrize("count", ["documents", "sentences", "tokens"])
def test_arrow_metadata_that_claims_more_is_refused(count: str, folder: Path) -> None:
    shard = Shard.open(folder / SHARD)
    number = getattr(shard, f"num_{count}")
    del shard
    content = bytearray((folder / SHARD).read_bytes())
    places = [i for i in range(len(content) - 8) if content[i : i + 8] == struct.pack("<q", number)]
    assert places
    for place in places:
        content[place : place + 8] = struct.pack("<q", number * 1000)
    (folder / SHARD).write_bytes(content)
    sign(folder, **{count: number * 1000})
    assert "is not a complete Arrow file" in refused(folder)


def test_offsets_that_lead_outside_are_refused(folder: Path) -> None:
    shard = Shard.open(folder / SHARD)
    offsets = np.array(shard.sentence_offsets)
    offsets[len(offsets) // 2] = 2**30
    sentences = pa.ListArray.from_arrays(pa.array(offsets), pa.array(np.array(shard.tokens)))
    documents = pa.ListArray.from_arrays(pa.array(np.array(shard.document_offsets)), sentences)
    batch = pa.record_batch({"id": pa.array(shard.ids), "sentences": documents})
    del shard
    with pa.ipc.new_file(str(folder / SHARD), batch.schema) as writer:
        writer.write_batch(batch)
    sign(folder)
    assert "is not a complete Arrow file" in refused(folder)


@pytest.mark.parametrize("codec", ["zstd", "lz4"])
def test_a_compressed_shard_is_refused(codec: str, tmp_path: Path) -> None:
    sentences = pa.array([[[0] * 1_000_000]], pa.list_(pa.list_(pa.uint16())))
    batch = pa.record_batch({"id": pa.array(["a"]), "sentences": sentences})
    options = pa.ipc.IpcWriteOptions(compression=codec)
    with pa.ipc.new_file(str(tmp_path / SHARD), batch.schema, options=options) as writer:
        writer.write_batch(batch)
    with pytest.raises(DataError, match="it is compressed"):
        Shard.open(tmp_path / SHARD)


def test_a_token_outside_the_vocabulary_is_refused(folder: Path) -> None:
    shard = Shard.open(folder / SHARD)
    tokens = np.array(shard.tokens)
    tokens[5] = 60_000
    ids = shard.ids
    offsets = np.array(shard.sentence_offsets), np.array(shard.document_offsets)
    del shard
    write_shard(folder / SHARD, ids, tokens, *offsets)
    sign(folder)
    assert f"{SHARD} has the token 60000, but the vocabulary has" in refused(folder)


@pytest.mark.parametrize("level", ["document", "sentence"])
def test_an_empty_document_or_sentence_is_refused(level: str, folder: Path) -> None:
    tokens = np.arange(10, dtype=np.uint16)
    sentences = np.array([0, 4, 4, 10] if level == "sentence" else [0, 3, 5, 10])
    documents = np.array([0, 1, 1, 3] if level == "document" else [0, 1, 2, 3])
    write_shard(folder / SHARD, ["a", "b", "c"], tokens, sentences, documents)
    sign(folder, documents=3, sentences=3, tokens=10, unknown_tokens=0)
    assert f"has an empty {level}" in refused(folder)


MANIFESTS: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "no validation split": (lambda m: m["splits"].pop("validation"), "splits has no validation"),
    "no splits": (lambda m: m["splits"].clear(), "splits has no train and no validation"),
    "no shards": (lambda m: m["splits"]["train"].update(shards=[]), "splits.train.shards"),
    "no tokens": (
        lambda m: [
            each.update(tokens=0)
            for each in [m["splits"]["train"], *m["splits"]["train"]["shards"]]
        ],
        "tokens=0",
    ),
    "negative tokens": (lambda m: m["splits"]["train"].update(tokens=-1), "splits.train.tokens"),
    "other sums": (lambda m: m["splits"]["train"].update(documents=1), "documents=1, but"),
    "a shard elsewhere": (
        lambda m: m["splits"]["train"]["shards"][0].update(file="../../other.arrow"),
        "splits.train.shards.0.file",
    ),
    "an absolute path": (
        lambda m: m["splits"]["train"]["shards"][0].update(file="/etc/passwd"),
        "splits.train.shards.0.file",
    ),
    "no checksum": (
        lambda m: m["splits"]["train"]["shards"][0].update(sha256=""),
        "splits.train.shards.0.sha256",
    ),
    "a shard twice": (
        lambda m: m["splits"].update(train=m["splits"]["validation"]),
        "splits has a shard twice",
    ),
    "a huge vocabulary": (lambda m: m.update(vocab_size=2**40), "vocab_size"),
    "another vocabulary": (lambda m: m.update(vocab_size=9), "but the manifest has vocab_size=9"),
    "text for a split": (lambda m: m["splits"].update(train="all"), "splits.train"),
}


@pytest.mark.parametrize("case", MANIFESTS)
def test_a_bad_manifest_is_refused(case: str, folder: Path) -> None:
    change, message = MANIFESTS[case]
    change_manifest(folder, change)
    assert message in refused(folder)


@pytest.mark.parametrize("content", ["", "[]", "null", "{", "[" * 100_000, '{"format_version": 1}'])
def test_what_is_no_manifest_is_refused(content: str, folder: Path) -> None:
    (folder / "manifest.json").write_text(content)
    assert "manifest.json is not a valid manifest" in refused(folder)


def test_a_shard_that_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        ShardFile(tmp_path / SHARD).open()
