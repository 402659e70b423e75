"""Preparing from a store and to it gives the corpus that local files give."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clozekit.config.prepare import PrepareConfig
from clozekit.corpus import pipeline
from clozekit.corpus.manifest import Corpus
from clozekit.errors import ConfigError, DataError, StoreError
from clozekit.prepare import prepare
from clozekit.storage import remote_files
from tests.corpus.made_texts import (
    config,
    content_of,
    make_documents,
    write_csv,
    write_jsonl,
    write_parquet,
    write_text,
)
from tests.corpus.stored_texts import content_of_store, put, stored_config
from tests.harness.s3 import Request, S3Server
from tests.programs.in_process import invoke

DOCUMENTS = make_documents(80)
FORMATS: dict[str, tuple[str, Callable[..., Path]]] = {
    "a.txt": ("text", write_text),
    "a.txt.gz": ("text", write_text),
    "a.jsonl": ("jsonl", write_jsonl),
    "a.csv.gz": ("csv", write_csv),
    "a.parquet": ("parquet", write_parquet),
}
SMALL = {"shard_tokens": 500}


class Killed(BaseException):
    """As a signal, it is no error that the program handles."""


@pytest.fixture(autouse=True)
def small_partitions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "PARTITION_BYTES", 6_000)


@pytest.fixture
def wanted(tmp_path: Path, s3: S3Server, bucket: str) -> PrepareConfig:
    """A preparation from a file of the bucket to a folder of it."""
    url = put(s3, write_text(tmp_path / "a.txt", DOCUMENTS), f"{bucket}/texts/a.txt")
    source = {"format": "text", "path": url}
    return stored_config(f"{bucket}/corpus", tmp_path / "work", source, **SMALL)


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of the corpus of the same text in a local file."""
    folder = tmp_path_factory.mktemp("local")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "PARTITION_BYTES", 6_000)
        path = write_text(folder / "a.txt", DOCUMENTS)
        prepare(config(folder / "out", {"format": "text", "path": str(path)}, **SMALL))
    return without_manifest(content_of(folder / "out"))


def without_manifest(content: dict[str, bytes]) -> dict[str, bytes]:
    """The files of a corpus but the manifest, which names the source."""
    return {name: data for name, data in content.items() if name != "manifest.json"}


def fail_puts(server: S3Server, name: str) -> None:
    """Denies the upload of a file."""

    def fault(request: Request) -> tuple[int, str] | None:
        is_upload = request.method == "PUT" and request.path.endswith(name)
        return (403, "AccessDenied") if is_upload else None

    server.fault = fault


def kill_at(name: str, wanted: PrepareConfig, after: bool = False) -> None:
    """Runs the program, and ends it before or after a file is uploaded."""
    upload = remote_files.upload

    def watched(source: Path, url: str) -> None:
        if after:
            upload(source, url)
        if url.endswith(name):
            raise Killed
        upload(source, url)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(remote_files, "upload", watched)
        with pytest.raises(Killed):
            prepare(wanted)


def uploads(server: S3Server) -> list[str]:
    return [request.path.split("/")[-1] for request in server.requests if request.method == "PUT"]


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_corpus_of_local_files(
    tmp_path: Path, s3: S3Server, bucket: str, name: str
) -> None:
    file_format, write = FORMATS[name]
    path = write(tmp_path / name, DOCUMENTS)
    source: dict[str, Any] = {"format": file_format, "path": str(path)}
    local = prepare(config(tmp_path / "out", source, **SMALL))
    assert isinstance(local, Corpus)
    source["path"] = put(s3, path, f"{bucket}/texts/{name}")
    wanted = stored_config(f"{bucket}/corpus", tmp_path / "work", source, **SMALL)
    assert prepare(wanted).hash == local.hash
    content = content_of_store(s3, f"{bucket}/corpus")
    assert without_manifest(content) == without_manifest(content_of(local.folder))
    assert len(content) > 6
    assert json.loads(content["manifest.json"])["configuration"] == wanted.identity()
    assert list((tmp_path / "work").iterdir()) == []


def test_several_workers_have_connections_of_their_own(
    wanted: PrepareConfig, s3: S3Server, local: dict[str, bytes]
) -> None:
    prepare(wanted.model_copy(update={"workers": 2}))
    assert without_manifest(content_of_store(s3, wanted.out)) == local


@pytest.mark.parametrize("after", [False, True])
def test_a_run_that_is_killed_while_it_uploads_goes_on(
    tmp_path: Path,
    wanted: PrepareConfig,
    s3: S3Server,
    local: dict[str, bytes],
    after: bool,
) -> None:
    kill_at("train-00002.arrow", wanted, after)
    content = content_of_store(s3, wanted.out)
    assert "manifest.json" not in content
    assert "train-00001.arrow" in content
    for changes, message in (
        ({"validation_fraction": 0.3}, "validation_fraction was 0.2 and is now 0.3"),
        ({"work_dir": str(tmp_path / "else")}, r"or was, with work_dir=.+work; go on with that"),
    ):
        with pytest.raises(ConfigError, match=message):
            prepare(wanted.model_copy(update=changes))
    assert content_of_store(s3, wanted.out) == content
    s3.requests.clear()
    prepare(wanted)
    assert uploads(s3) == [
        ".preparing.json",
        *(name for name in sorted(local) if name > "train-00001.arrow"),
        "tokenizer.json",
        "manifest.json",
    ]
    assert without_manifest(content_of_store(s3, wanted.out)) == local
    assert list((tmp_path / "work").iterdir()) == []


def test_a_store_that_refuses_late_costs_nothing_of_what_is_done(
    wanted: PrepareConfig, s3: S3Server, local: dict[str, bytes]
) -> None:
    fail_puts(s3, "train-00002.arrow")
    with pytest.raises(StoreError, match=r"corpus/train-00002.arrow cannot be written: access is"):
        prepare(wanted)
    s3.calm_down()
    prepare(wanted)
    assert not {"train-00000.arrow", "train-00001.arrow"} & {*uploads(s3)}
    assert without_manifest(content_of_store(s3, wanted.out)) == local


def test_what_was_removed_from_the_store_meanwhile_is_written_again(
    wanted: PrepareConfig, s3: S3Server, local: dict[str, bytes]
) -> None:
    kill_at("tokenizer.json", wanted)
    remote_files.remove(f"{wanted.out}/train-00001.arrow")
    with pytest.raises(StoreError, match=r"train-00001.arrow was uploaded, but does not exist any"):
        prepare(wanted)
    for file in remote_files.files(wanted.out):
        remote_files.remove(file.url)
    prepare(wanted)
    assert without_manifest(content_of_store(s3, wanted.out)) == local


def test_a_run_that_is_killed_after_its_manifest_is_finished(
    tmp_path: Path, wanted: PrepareConfig, s3: S3Server, capsys: pytest.CaptureFixture[str]
) -> None:
    kill_at("manifest.json", wanted, after=True)
    assert ".preparing.json" in content_of_store(s3, wanted.out)
    prepare(wanted)
    assert "nothing to do" in capsys.readouterr().out
    assert ".preparing.json" not in content_of_store(s3, wanted.out)
    assert list((tmp_path / "work").iterdir()) == []


def test_a_finished_corpus_is_left_alone(
    tmp_path: Path, wanted: PrepareConfig, s3: S3Server, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus = prepare(wanted)
    remote_files.remove(str(wanted.identity()["source"]["path"]))
    s3.requests.clear()
    capsys.readouterr()
    again = wanted.model_copy(update={"work_dir": str(tmp_path / "else"), "workers": 3})
    assert prepare(again) == corpus
    assert f"{wanted.out} is already prepared; nothing to do" in capsys.readouterr().out
    assert {request.method for request in s3.requests} <= {"GET", "HEAD"}
    with pytest.raises(ConfigError, match=r"shard_tokens was 500 and is now 700; .+overwrite=true"):
        prepare(wanted.model_copy(update={"shard_tokens": 700}))
    remote_files.remove(f"{wanted.out}/train-00001.arrow")
    with pytest.raises(DataError, match=r"train-00001.arrow does not exist, but .+ lists it"):
        prepare(wanted)


def test_overwriting_replaces_the_corpus_and_nothing_else(
    tmp_path: Path, wanted: PrepareConfig, s3: S3Server, bucket: str
) -> None:
    prepare(wanted)
    mine = ("corpus/notes.md", "corpus/old/train-00000.arrow", "corpus-2/train-00000.arrow")
    for name in mine:
        remote_files.write_bytes(f"{bucket}/{name}", b"mine")
    larger = wanted.model_copy(update={"shard_tokens": 10_000, "overwrite": True})
    prepare(larger)
    content = content_of_store(s3, bucket)
    assert [content[name] for name in mine] == [b"mine"] * 3
    prepare(larger.model_copy(update={"out": f"{bucket}/fresh"}))
    content = content_of_store(s3, bucket)
    names = [name for name in content if name.startswith("fresh/")]
    assert len(names) == 4
    assert all(content[name] == content[name.replace("fresh", "corpus")] for name in names)
    kept = {name for name in content if name.startswith("corpus/")}
    assert kept == {name.replace("fresh", "corpus") for name in names} | {*mine[:2]}


@pytest.mark.parametrize("name", ["thesis.tex", "old/thesis.tex", "manifest.json"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_a_folder_of_something_else_is_left_alone(
    tmp_path: Path, wanted: PrepareConfig, s3: S3Server, name: str, overwrite: bool
) -> None:
    for file in (name, "train-00000.arrow"):
        remote_files.write_bytes(f"{wanted.out}/{file}", b"{}")
    message = "is not a valid manifest" if name == "manifest.json" else "contains files that are"
    with pytest.raises((ConfigError, DataError), match=message):
        prepare(wanted.model_copy(update={"overwrite": overwrite}))
    assert content_of_store(s3, wanted.out) == {name: b"{}", "train-00000.arrow": b"{}"}
    assert not any(path.is_dir() for path in (tmp_path / "work").glob("*"))


def test_a_source_that_has_changed_is_read_anew(
    tmp_path: Path, wanted: PrepareConfig, s3: S3Server, bucket: str
) -> None:
    kill_at("train-00002.arrow", wanted)
    path = write_text(tmp_path / "b.txt", DOCUMENTS[::-1])
    assert path.stat().st_size == (tmp_path / "a.txt").stat().st_size
    put(s3, path, f"{bucket}/texts/a.txt")
    changed = prepare(wanted)
    assert changed.hash == prepare(wanted.model_copy(update={"out": f"{bucket}/fresh"})).hash


def test_requests_that_fail_now_and_then_do_no_harm(
    wanted: PrepareConfig, s3: S3Server, local: dict[str, bytes]
) -> None:
    faults = []

    def fault(request: Request) -> tuple[int, str] | None:
        if len(s3.requests) % 7 != 3:
            return None
        faults.append(request)
        return 500, "InternalError"

    s3.requests.clear()
    s3.fault = fault
    prepare(wanted)
    assert {request.method for request in faults} >= {"GET", "PUT"}
    s3.calm_down()
    assert without_manifest(content_of_store(s3, wanted.out)) == local


@pytest.mark.parametrize(
    ("changes", "fault", "message"),
    [
        ({"out": "s3://no-such-bucket/corpus"}, "", "^s3://no-such-bucket/corpus/.+ the bucket do"),
        ({"source": "s3://no-such-bucket/a.txt"}, "", "^s3://no-such-bucket/a.txt does not exist$"),
        ({"source": "gs://bucket/a.txt"}, "", r"^gs:// needs pip install 'clozekit\[gcs\]'$"),
        ({"out": "az://bucket/corpus"}, "", r"^az:// needs pip install 'clozekit\[azure\]'$"),
        ({}, "PUT", "^s3://.+/corpus/.+ cannot be written: access is denied"),
        ({}, "HEAD", "^s3://.+ cannot be read: access is denied"),
    ],
)
def test_what_cannot_be_used_is_told_at_the_start(
    tmp_path: Path,
    wanted: PrepareConfig,
    s3: S3Server,
    changes: dict[str, str],
    fault: str,
    message: str,
) -> None:
    source = wanted.source.model_copy(update={"path": changes.get("source", "s3://none/a.txt")})
    if "source" in changes:
        wanted = wanted.model_copy(update={"source": source})
    if "out" in changes:
        wanted = wanted.model_copy(update={"out": changes["out"]})
    s3.fault = lambda request: (403, "AccessDenied") if request.method == fault else None
    with pytest.raises(StoreError, match=message):
        prepare(wanted)
    s3.calm_down()
    if "out" not in changes:
        assert content_of_store(s3, wanted.out) == {}
    assert not any(path.is_dir() for path in (tmp_path / "work").glob("*"))


def test_the_command_says_it_in_one_line(tmp_path: Path, s3: S3Server) -> None:
    write_text(tmp_path / "a.txt", DOCUMENTS)
    out = ("out=s3://no-such-bucket/corpus", "work_dir=work")
    ended = invoke("prepare", "source.path=a.txt", *out, "workers=1", folder=tmp_path)
    assert ended.code == 2
    assert ended.messages == [
        "clozekit prepare: s3://no-such-bucket/corpus/.preparing.json cannot be written: the "
        "bucket does not exist"
    ]


def test_a_tokenizer_may_be_in_the_store(
    wanted: PrepareConfig, s3: S3Server, bucket: str, tmp_path: Path, local: dict[str, bytes]
) -> None:
    url = f"{bucket}/tokenizer.json"
    remote_files.write_bytes(url, local["tokenizer.json"])
    values = wanted.model_dump() | {"tokenizer": {"path": url}}
    prepare(PrepareConfig.model_validate(values))
    assert without_manifest(content_of_store(s3, wanted.out)) == local
