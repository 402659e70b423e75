"""Preparing again after the source or the tokenizer has changed is refused, not ignored."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from clozekit.config.prepare import PrepareConfig
from clozekit.corpus.manifest import Corpus
from clozekit.errors import ConfigError
from clozekit.prepare import prepare
from clozekit.storage import remote_files
from tests.corpus.made_texts import (
    config,
    content_of,
    make_documents,
    prepare_text,
    write_csv,
    write_jsonl,
    write_parquet,
    write_text,
)
from tests.corpus.stored_texts import put
from tests.harness.s3 import S3Server
from tests.kinds_of_tokenizers import plain_tokenizer

DOCUMENTS = make_documents(120)
WRITERS: dict[str, tuple[str, Callable[[Path, list[list[str]]], Path]]] = {
    "text": (".txt.gz", write_text),
    "jsonl": (".jsonl", write_jsonl),
    "csv": (".csv", write_csv),
    "parquet": (".parquet", write_parquet),
}


def _same_time(file: Path, write: Callable[[], object]) -> None:
    status = file.stat()
    write()
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))


def _is_left_alone(wanted: PrepareConfig, capsys: pytest.CaptureFixture[str]) -> None:
    before = content_of(Path(wanted.out))
    capsys.readouterr()
    prepare(wanted)
    assert "is already prepared; nothing to do" in capsys.readouterr().out
    assert content_of(Path(wanted.out)) == before


@pytest.mark.parametrize("file_format", WRITERS)
def test_a_source_with_other_content_is_told(
    tmp_path: Path, file_format: str, capsys: pytest.CaptureFixture[str]
) -> None:
    ending, write = WRITERS[file_format]
    path = write(tmp_path / f"a{ending}", DOCUMENTS)
    wanted = config(tmp_path / "out", {"format": file_format, "path": str(path)})
    prepare(wanted)
    before = content_of(tmp_path / "out")
    write(path, DOCUMENTS[::-1])
    with pytest.raises(
        ConfigError,
        match=rf"^source\.path={path} has changed since out={wanted.out} was prepared from it; use "
        "another folder, or overwrite=true$",
    ):
        prepare(wanted)
    assert content_of(tmp_path / "out") == before
    write(path, DOCUMENTS)
    _is_left_alone(wanted, capsys)  # only its times have changed
    write(path, DOCUMENTS[:100])
    again = prepare(wanted.model_copy(update={"overwrite": True}))
    fresh = prepare(wanted.model_copy(update={"out": str(tmp_path / "fresh")}))
    assert again.manifest == fresh.manifest
    path.unlink()
    _is_left_alone(wanted, capsys)


def test_a_source_of_the_same_size_and_time_is_told(tmp_path: Path) -> None:
    path = write_text(tmp_path / "a.txt", DOCUMENTS)
    prepare_text(tmp_path / "out", path)
    size = path.stat().st_size
    _same_time(path, lambda: write_text(path, DOCUMENTS[::-1]))
    assert path.stat().st_size == size
    with pytest.raises(ConfigError, match=r"a\.txt has changed since"):
        prepare_text(tmp_path / "out", path)


def test_a_folder_with_other_files_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "texts"
    first = write_text(folder / "a.txt", DOCUMENTS[:60])
    wanted = config(tmp_path / "out", {"format": "text", "path": str(folder)})
    write_text(folder / "b.txt", DOCUMENTS[60:])
    prepare(wanted)
    write_text(folder / "notes.md", DOCUMENTS)  # is not read
    _is_left_alone(wanted, capsys)
    third = write_text(folder / "c.txt", DOCUMENTS[:1])
    with pytest.raises(ConfigError, match=r"texts has changed since"):
        prepare(wanted)
    third.unlink()
    _is_left_alone(wanted, capsys)
    first.unlink()
    with pytest.raises(ConfigError, match=r"texts has changed since"):
        prepare(wanted)
    (folder / "b.txt").unlink()
    _is_left_alone(wanted, capsys)


def test_a_local_dataset_with_other_content_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    file = write_jsonl(tmp_path / "data" / "train.jsonl", DOCUMENTS)
    wanted = config(tmp_path / "out", {"format": "hub", "path": str(file.parent)})
    prepare(wanted)
    _same_time(file, lambda: write_jsonl(file, DOCUMENTS))
    _is_left_alone(wanted, capsys)
    _same_time(file, lambda: write_jsonl(file, DOCUMENTS[::-1]))
    with pytest.raises(ConfigError, match=r"source\.path=.+data has changed since"):
        prepare(wanted)


@pytest.mark.parametrize(
    ("key", "kind"), [("path", "wordpiece"), ("path", "roberta"), ("base", "")]
)
def test_a_tokenizer_with_other_content_is_told(
    tmp_path: Path, key: str, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "tokenizer"
    folder.mkdir()
    if kind == "roberta":
        plain_tokenizer(kind).model.save(str(folder))
        file = folder / "merges.txt"
    else:
        file = folder / "tokenizer.json"
        plain_tokenizer("wordpiece").save(str(file))
    path = write_text(tmp_path / "a.txt", DOCUMENTS)
    changes = {"tokenizer": {key: str(folder)}}
    wanted = config(tmp_path / "out", {"format": "text", "path": str(path)}, **changes)
    prepare(wanted)
    os.utime(file)
    _is_left_alone(wanted, capsys)
    content = file.read_bytes()
    file.write_bytes(content + b"\n")
    with pytest.raises(ConfigError, match=rf"^tokenizer\.{key}={folder} has changed since out="):
        prepare(wanted)
    file.write_bytes(content)
    _is_left_alone(wanted, capsys)
    for each in folder.iterdir():
        each.unlink()
    _is_left_alone(wanted, capsys)


def test_a_source_in_a_store_with_other_content_is_told(
    tmp_path: Path, s3: S3Server, bucket: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_text(tmp_path / "a.txt", DOCUMENTS)
    url = put(s3, path, f"{bucket}/texts/a.txt")
    wanted = config(tmp_path / "out", {"format": "text", "path": url})
    prepare(wanted)
    put(s3, path, url)
    _is_left_alone(wanted, capsys)
    put(s3, write_text(path, DOCUMENTS[::-1]), url)
    with pytest.raises(ConfigError, match=rf"^source\.path={url} has changed since out="):
        prepare(wanted)
    remote_files.remove(url)
    _is_left_alone(wanted, capsys)


def test_a_corpus_of_an_earlier_version_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_text(tmp_path / "a.txt", DOCUMENTS)
    corpus = prepare_text(tmp_path / "out", path)
    file = tmp_path / "out" / "manifest.json"
    manifest = json.loads(file.read_text())
    assert set(manifest.pop("inputs")) == {"source"}
    file.write_text(json.dumps(manifest))
    assert Corpus.open(tmp_path / "out").hash == corpus.hash
    write_text(path, DOCUMENTS[::-1])
    _is_left_alone(config(tmp_path / "out", {"format": "text", "path": str(path)}), capsys)


def test_the_content_is_read_once_in_an_interrupted_preparation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_text(tmp_path / "a.txt", DOCUMENTS)
    with monkeypatch.context() as patch:
        patch.setattr("clozekit.corpus.pipeline.read_source", _interrupted)
        with pytest.raises(KeyboardInterrupt):
            prepare_text(tmp_path / "out", path)
    with monkeypatch.context() as patch:
        patch.setattr("clozekit.corpus.inputs.sha256_of_file", _interrupted)
        prepare_text(tmp_path / "out", path)
    write_text(path, DOCUMENTS[::-1])
    with pytest.raises(ConfigError, match=r"a\.txt has changed since"):
        prepare_text(tmp_path / "out", path)


def _interrupted(*_: object) -> None:
    raise KeyboardInterrupt
