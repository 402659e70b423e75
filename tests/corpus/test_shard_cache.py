"""The cache of shards: shared, bounded, and whole after any kill."""

import hashlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from clozekit.corpus.shard_cache import ShardCache, StoredShard
from clozekit.errors import DataError
from tests.harness.shelf import URL, Shelf, shelf

SIZE = 1000


@pytest.fixture
def bucket(tmp_path: Path) -> Iterator[Path]:
    with shelf(tmp_path / "shelf") as bucket:
        yield bucket


@pytest.fixture
def cache(tmp_path: Path) -> ShardCache:
    return ShardCache(tmp_path / "cache", 4 * SIZE)


def shards_in(bucket: Path, number: int) -> list[StoredShard]:
    shards = []
    for index in range(number):
        content = bytes([index]) * SIZE
        (bucket / f"train-{index:05d}.arrow").write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        shards.append(StoredShard(f"{URL}/train-{index:05d}.arrow", digest, SIZE))
    return shards


def kept(cache: ShardCache) -> list[str]:
    return sorted(path.name for path in cache.folder.iterdir() if path.name != ".lock")


def names(shards: list[StoredShard]) -> list[str]:
    return sorted(f"{shard.sha256}.arrow" for shard in shards)


def fork(work: Callable[[], None]) -> int:
    """Starts a process that does the work and exits with 0."""
    process_id = os.fork()
    if process_id == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return process_id


def wait(process_id: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(process_id, 0)[1])


def test_a_shard_is_fetched_once(cache: ShardCache, bucket: Path) -> None:
    (shard,) = shards_in(bucket, 1)
    for _ in range(2):
        hold = cache.hold(shard)
        assert hold.path.read_bytes() == bytes(SIZE)
        hold.release()
    assert len(Shelf.requests("get")) == 1


def test_what_was_not_used_for_longest_is_removed(cache: ShardCache, bucket: Path) -> None:
    shards = shards_in(bucket, 6)
    for shard in shards[:4]:
        cache.hold(shard).release()
    cache.hold(shards[0]).release()
    for shard in shards[4:]:
        cache.hold(shard).release()
    assert kept(cache) == names([shards[0], *shards[3:]])


def test_what_is_in_use_stays(cache: ShardCache, bucket: Path) -> None:
    shards = shards_in(bucket, 6)
    held = cache.hold(shards[0])
    for shard in shards[1:]:
        cache.hold(shard).release()
    assert f"{shards[0].sha256}.arrow" in kept(cache)
    held.release()
    cache.hold(shards[1]).release()
    assert f"{shards[0].sha256}.arrow" not in kept(cache)


def test_what_another_process_uses_stays(cache: ShardCache, bucket: Path) -> None:
    shards = shards_in(bucket, 6)
    reading, writing = os.pipe()

    def use() -> None:
        cache.hold(shards[0])
        os.write(writing, b"x")
        time.sleep(60)

    user = fork(use)
    os.read(reading, 1)
    for shard in shards[1:]:
        cache.hold(shard).release()
    assert f"{shards[0].sha256}.arrow" in kept(cache)
    os.kill(user, signal.SIGKILL)
    wait(user)
    cache.hold(shards[1]).release()
    assert f"{shards[0].sha256}.arrow" not in kept(cache)


def test_a_fork_of_a_process_keeps_nothing_that_it_released(
    cache: ShardCache, bucket: Path
) -> None:
    shards = shards_in(bucket, 6)
    held = cache.hold(shards[0])
    child = fork(lambda: time.sleep(60))
    held.release()
    for shard in shards[1:]:
        cache.hold(shard).release()
    os.kill(child, signal.SIGKILL)
    wait(child)
    assert f"{shards[0].sha256}.arrow" not in kept(cache)


def test_a_shard_that_is_not_needed_yet_finds_room_or_is_left(
    cache: ShardCache, bucket: Path
) -> None:
    shards = shards_in(bucket, 6)
    held = [cache.hold(shard) for shard in shards[:4]]
    assert cache.hold_if_room(shards[4]) is None
    assert kept(cache) == names(shards[:4])
    # One that is needed is fetched all the same.
    held.append(cache.hold(shards[4]))
    assert kept(cache) == names(shards[:5])
    for hold in held:
        hold.release()
    hold = cache.hold_if_room(shards[5])
    assert hold is not None
    assert len(kept(cache)) == 4


def test_processes_that_need_the_same_fetch_each_shard_once(
    cache: ShardCache, bucket: Path, tmp_path: Path
) -> None:
    shards = shards_in(bucket, 3)

    def read() -> None:
        for shard in shards:
            hold = cache.hold(shard)
            assert hashlib.sha256(hold.path.read_bytes()).hexdigest() == shard.sha256
            hold.release()

    with shelf(tmp_path / "shelf", seconds=0.05):
        readers = [fork(read) for _ in range(4)]
        assert [wait(reader) for reader in readers] == [0] * 4
        assert len(Shelf.requests("get")) == 3
    assert kept(cache) == names(shards)


def test_a_killed_download_is_begun_again_and_leaves_nothing(
    cache: ShardCache, bucket: Path, tmp_path: Path
) -> None:
    first, second = shards_in(bucket, 2)
    with shelf(tmp_path / "shelf", seconds=60):
        loaders = [
            fork(lambda shard=shard: cache.hold(shard).release()) for shard in (first, second)
        ]  # type: ignore[misc]
        while len(list(cache.folder.glob("*.part")) if cache.folder.is_dir() else []) < 2:
            time.sleep(0.01)
        while not all(path.stat().st_size for path in cache.folder.glob("*.part")):
            time.sleep(0.01)
        for loader in loaders:
            os.kill(loader, signal.SIGKILL)
            assert wait(loader) == -signal.SIGKILL
    hold = cache.hold(first)
    assert hold.path.read_bytes() == bytes(SIZE)
    assert kept(cache) == names([first])


def test_a_waiting_process_takes_over_from_a_killed_one(
    cache: ShardCache, bucket: Path, tmp_path: Path
) -> None:
    (shard,) = shards_in(bucket, 1)
    with shelf(tmp_path / "shelf", seconds=60):
        loader = fork(lambda: cache.hold(shard).release())
        while not list(cache.folder.glob("*.part") if cache.folder.is_dir() else []):
            time.sleep(0.01)
    waiter = fork(lambda: cache.hold(shard).release())
    os.kill(loader, signal.SIGKILL)
    wait(loader)
    assert wait(waiter) == 0
    assert kept(cache) == names([shard])


def test_a_process_that_waited_does_not_wait_for_the_end_of_the_reading(
    cache: ShardCache, bucket: Path, tmp_path: Path
) -> None:
    (shard,) = shards_in(bucket, 1)
    with shelf(tmp_path / "shelf", seconds=0.2):
        reading, writing = os.pipe()

        def use() -> None:
            hold = cache.hold(shard)
            os.write(writing, b"x")
            time.sleep(60)
            hold.release()

        users = [fork(use) for _ in range(3)]
        for _ in users:
            assert os.read(reading, 1) == b"x"
    for user in users:
        os.kill(user, signal.SIGKILL)
        wait(user)
    assert len(Shelf.requests("get")) == 1


def test_a_flipped_byte_is_fetched_again(cache: ShardCache, bucket: Path, tmp_path: Path) -> None:
    (shard,) = shards_in(bucket, 1)
    with shelf(tmp_path / "shelf", flipped="train-00000", num_flipped=2):
        assert cache.hold(shard).path.read_bytes() == bytes(SIZE)
    assert len(Shelf.requests("get")) == 3


def test_a_shard_that_is_damaged_in_the_store_is_one_sentence(
    cache: ShardCache, bucket: Path, tmp_path: Path
) -> None:
    (shard,) = shards_in(bucket, 1)
    with shelf(tmp_path / "shelf", flipped="train-00000"), pytest.raises(DataError) as caught:
        cache.hold(shard)
    assert f"{shard.url} has been changed or damaged: its SHA-256 is" in str(caught.value)
    assert "it was downloaded 3 times" in str(caught.value)
    assert kept(cache) == []


def test_files_of_others_are_left_alone(cache: ShardCache, bucket: Path) -> None:
    cache.folder.mkdir()
    others = ("train-00000.arrow", "notes.txt", f"{'a' * 63}.arrow", f"{'a' * 64}.arrow.bak")
    for name in others:
        (cache.folder / name).write_bytes(bytes(10 * SIZE))
    for shard in shards_in(bucket, 6):
        cache.hold(shard).release()
    assert set(others) <= set(kept(cache))


def test_a_link_in_the_cache_is_not_followed(
    cache: ShardCache, bucket: Path, tmp_path: Path
) -> None:
    (shard,) = shards_in(bucket, 1)
    (tmp_path / "mine").write_bytes(b"mine")
    cache.folder.mkdir()
    for name in (f"{shard.sha256}.{SIZE}.part", f"{shard.sha256}.lock", f"{shard.sha256}.arrow"):
        (cache.folder / name).symlink_to(tmp_path / "mine")
        with pytest.raises(DataError, match="cannot be used"):
            cache.hold(shard)
        (cache.folder / name).unlink()
    assert (tmp_path / "mine").read_bytes() == b"mine"


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path, bucket: Path) -> None:
    (tmp_path / "file").write_text("")
    (shard,) = shards_in(bucket, 1)
    with pytest.raises(DataError, match=r"data\.cache\.dir=.*file/cache cannot be used: .*"):
        ShardCache(tmp_path / "file" / "cache", 4 * SIZE).hold(shard)
