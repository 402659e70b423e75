"""A corpus in a store: what is fetched when, and what is refused before anything is."""

import errno
import json
import pickle
import shutil
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from clozekit.config.cache import num_bytes
from clozekit.corpus.manifest import Corpus
from clozekit.data.order import shard_order
from clozekit.data.pretraining.corpora import following_shards
from clozekit.data.pretraining.masked_lm_datamodule import MaskedLMDataModule
from clozekit.data.pretraining.pair_datamodule import PretrainingDataModule
from clozekit.errors import ConfigError, DataError
from tests.harness.shelf import URL, Shelf, shelf

SIZES = {"global_batch_size": 8, "micro_batch_size": 4, "max_seq_length": 32}


@pytest.fixture
def stored(corpus: Path, tmp_path: Path) -> Iterator[Path]:
    with shelf(tmp_path / "shelf") as bucket:
        yield Path(shutil.copytree(corpus, bucket / "corpus"))


def opened(
    tmp_path: Path, kind: Any = PretrainingDataModule, path: str = f"{URL}/corpus", **cache: Any
) -> Any:
    return kind(path=path, seed=0, cache={"dir": str(tmp_path / "cache"), **cache}, **SIZES)


@pytest.mark.parametrize("kind", [PretrainingDataModule, MaskedLMDataModule])
def test_the_samples_are_those_of_the_folder(
    kind: Any, stored: Path, corpus: Path, tmp_path: Path
) -> None:
    here = kind(path=str(corpus), seed=0, **SIZES)
    there = opened(tmp_path, kind)
    assert there.data_hash == here.data_hash
    assert there.tokenizer.to_str() == here.tokenizer.to_str()
    for split in ("train", "validation"):
        batches = [iter(module.train_dataloader()) for module in (here, there)]
        for _ in range(3):
            one, other = (next(batch) for batch in batches)
            assert one.totals == other.totals
        assert there.num_evaluation_batches(split, 0, 1) == here.num_evaluation_batches(split, 0, 1)
    assert there.steps_per_epoch() == here.steps_per_epoch()


def test_nothing_but_manifest_and_tokenizer_is_fetched_at_the_start(
    stored: Path, tmp_path: Path
) -> None:
    datamodule = opened(tmp_path)
    datamodule.check_samples()
    datamodule.facts()
    assert Shelf.requests("get") == ["bucket/corpus/tokenizer.json"]
    opened(tmp_path)
    assert len(Shelf.requests("get")) == 1
    assert Shelf.requests("cat") == ["bucket/corpus/manifest.json"] * 2


def test_a_slash_at_the_end_changes_nothing(stored: Path, tmp_path: Path) -> None:
    assert opened(tmp_path, path=f"{URL}/corpus/").data_hash == opened(tmp_path).data_hash


def test_the_next_shards_are_those_of_the_order() -> None:
    order = [int(shard) for epoch in range(3) for shard in shard_order(5, 3, epoch)]
    for place in range(5):
        for number in (0, 1, 7):
            following = following_shards(5, 3, number, 0, order[place])
            assert following == order[place + 1 : place + 1 + number]


def test_a_copy_that_is_damaged_on_this_machine_is_fetched_again(
    stored: Path, tmp_path: Path
) -> None:
    expected = opened(tmp_path).sources["train"].num_samples(0, 0)
    for file in (tmp_path / "cache").glob("*.arrow"):
        content = bytearray(file.read_bytes())
        content[-1] ^= 1
        file.write_bytes(content)
    for file in (tmp_path / "cache").glob("*.json"):
        file.write_bytes(b"{}")
    assert opened(tmp_path).sources["train"].num_samples(0, 0) == expected
    assert len(Shelf.requests("get")) == 4


def test_a_cache_that_the_user_removes_is_filled_again(stored: Path, tmp_path: Path) -> None:
    datamodule = opened(tmp_path)
    file = datamodule.shards["train"][0]
    first = file.open()
    shutil.rmtree(tmp_path / "cache")
    assert file.open().num_tokens == first.num_tokens
    first.check_size()


def test_a_datamodule_can_be_pickled_for_workers_that_are_started_anew(
    stored: Path, tmp_path: Path
) -> None:
    source = opened(tmp_path).sources["train"]
    expected = source.num_samples(0, 0)
    assert pickle.loads(pickle.dumps(source)).num_samples(0, 0) == expected


def refused(tmp_path: Path, **cache: Any) -> str:
    with pytest.raises((DataError, ConfigError)) as caught:
        opened(tmp_path, **cache).sources["train"].num_samples(0, 0)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_folder_without_a_manifest_is_refused(stored: Path, tmp_path: Path) -> None:
    (stored / "manifest.json").unlink()
    assert f"{URL}/corpus has no manifest.json, so it is not a complete" in refused(tmp_path)


def test_a_shard_that_was_not_uploaded_is_noticed_at_the_start(
    stored: Path, tmp_path: Path
) -> None:
    (stored / "validation-00000.arrow").unlink()
    assert f"{URL}/corpus/validation-00000.arrow does not exist, but" in refused(tmp_path)
    assert Shelf.requests("get") == []


def test_another_tokenizer_is_refused(stored: Path, tmp_path: Path) -> None:
    (stored / "tokenizer.json").write_text("{}")
    message = refused(tmp_path)
    assert f"{URL}/corpus/tokenizer.json is not the tokenizer that the corpus was" in message
    assert not list((tmp_path / "cache").glob("*.json"))


def test_a_changed_shard_is_refused_with_its_url(stored: Path, tmp_path: Path) -> None:
    file = stored / "train-00000.arrow"
    file.write_bytes(file.read_bytes()[:-1] + b"x")
    message = refused(tmp_path)
    assert f"{URL}/corpus/train-00000.arrow has been changed or damaged" in message


def test_a_manifest_that_is_not_true_is_refused_with_the_url(stored: Path, tmp_path: Path) -> None:
    manifest = json.loads((stored / "manifest.json").read_text())
    for counts in (manifest["splits"]["train"], manifest["splits"]["train"]["shards"][0]):
        counts["documents"] += 1
    (stored / "manifest.json").write_text(json.dumps(manifest))
    message = refused(tmp_path)
    assert f"{URL}/corpus/train-00000.arrow has " in message and "the manifest says" in message


def test_a_manifest_cannot_name_a_file_elsewhere(stored: Path, tmp_path: Path) -> None:
    manifest = (stored / "manifest.json").read_text()
    (stored / "manifest.json").write_text(manifest.replace("train-00000.arrow", "../x.arrow"))
    assert "is not a valid manifest: splits.train.shards.0.file" in refused(tmp_path)


def test_a_cache_that_is_too_small_is_refused(stored: Path, tmp_path: Path) -> None:
    largest = max(path.stat().st_size for path in stored.glob("*.arrow"))
    message = refused(tmp_path, limit=4 * largest - 1)
    assert f"data.cache.limit={4 * largest - 1} has no room for 4 shards" in message
    assert f"it should be at least {4 * largest}" in message
    assert "no room for 8 shards" in refused(tmp_path, limit=4 * largest, ahead=6)
    opened(tmp_path, limit=4 * largest)


def test_a_store_that_cannot_list_is_read_all_the_same(
    stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find(*arguments: Any, **options: Any) -> None:
        raise PermissionError("AccessDenied")

    monkeypatch.setattr(Shelf, "find", find)
    assert opened(tmp_path).sources["train"].num_samples(0, 0) > 0


def test_a_web_server_is_a_store_too(corpus: Path, tmp_path: Path) -> None:
    class Files(SimpleHTTPRequestHandler):
        def __init__(self, *arguments: Any) -> None:
            super().__init__(*arguments, directory=str(corpus.parent))

        def log_message(self, *arguments: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Files) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/{corpus.name}"
        datamodule = opened(tmp_path, path=url)
        assert datamodule.sources["train"].num_samples(0, 0) > 0
        with pytest.raises(DataError, match=r"none has no manifest\.json"):
            opened(tmp_path, path=f"{url}/none")
        server.shutdown()


def test_a_full_disk_is_one_sentence(
    stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = opened(tmp_path).sources["train"]

    def get_file(*arguments: Any, **options: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Shelf, "get_file", get_file)
    with pytest.raises(DataError) as caught:
        source.num_samples(0, 0)
    assert "train-00000.arrow cannot be fetched to data.cache.dir=" in str(caught.value)
    assert "No space left on device; set a smaller data.cache.limit or" in str(caught.value)
    assert not list((tmp_path / "cache").glob("*.part"))


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ("50GB", 50 * 10**9),
        ("1.5 GiB", 3 * 2**29),
        ("200mb", 200 * 10**6),
        ("7", 7),
        ("7B", 7),
        ("1tb", 10**12),
    ],
)
def test_a_limit_is_a_size(size: str, expected: int) -> None:
    assert num_bytes(size) == expected


@pytest.mark.parametrize("size", ["many", "GB", "-1GB", "0GB", "1 XB", 0, -5, True, None, [1]])
def test_other_limits_are_refused(size: Any, stored: Path, tmp_path: Path) -> None:
    message = refused(tmp_path, limit=size)
    assert message.startswith("data.cache.limit")


def test_the_default_folder_is_in_the_user_s_cache(
    stored: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    PretrainingDataModule(path=f"{URL}/corpus", seed=0, **SIZES)
    assert list((tmp_path / "home" / "clozekit" / "shards").glob("*.json"))


def test_a_local_corpus_makes_no_cache(corpus: Path, tmp_path: Path) -> None:
    assert isinstance(opened(tmp_path, path=str(corpus)).corpora.all[0], Corpus)
    assert not (tmp_path / "cache").exists()


def mixed(corpus: Path, tmp_path: Path, kind: Any, **cache: Any) -> Any:
    """A folder and its copy in the store, mixed."""
    path = {"here": {"path": str(corpus), "weight": 2}, "there": {"path": f"{URL}/corpus"}}
    return kind(path=path, seed=0, cache={"dir": str(tmp_path / "cache"), **cache}, **SIZES)


@pytest.mark.parametrize("kind", [PretrainingDataModule, MaskedLMDataModule])
def test_a_mixture_may_have_a_source_in_a_store(
    kind: Any, stored: Path, corpus: Path, tmp_path: Path
) -> None:
    module = mixed(corpus, tmp_path, kind)
    assert not module.is_local
    module.check_samples()
    assert "bucket/corpus/tokenizer.json" in Shelf.requests("get") and not module.facts().get(
        "pairs"
    )
    local = {name: {"path": str(corpus), "weight": w} for name, w in (("here", 2), ("there", 1))}
    here = kind(path=local, seed=0, **SIZES)
    assert here.data_hash == module.data_hash
    steps, expected = (iter(m.train_dataloader()) for m in (module, here))
    for _ in range(30):
        step, other = next(steps), next(expected)
        assert step.next_position == other.next_position
        for batch, same in zip(step.micro_batches, other.micro_batches, strict=True):
            assert batch.input_ids.tolist() == same.input_ids.tolist()
    assert [e.source for e in module.val_dataloader()] == [e.source for e in here.val_dataloader()]


def test_the_cache_has_room_for_all_sources(stored: Path, tmp_path: Path) -> None:
    path = {name: {"path": f"{URL}/corpus"} for name in ("a", "b")}
    config = opened(tmp_path).config.cache
    needed, _ = opened(tmp_path).corpora.all[0].needed_bytes(config)
    with pytest.raises(DataError, match=f"no room for the shards of 2 corpora.*{2 * needed}"):
        PretrainingDataModule(
            path=path,
            seed=0,
            cache={"dir": str(tmp_path / "cache"), "limit": str(2 * needed - 1)},
            **SIZES,
        )
