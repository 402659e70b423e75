"""`prepare` on a Ray of two nodes: the same bytes, also after anything is killed."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from clozekit.corpus.engines import bundles
from clozekit.corpus.manifest import Corpus
from clozekit.errors import ExecutorError, WorkerError
from tests.corpus import lost
from tests.corpus.made_texts import content_of
from tests.corpus.runs_of_engines import (
    check_failing_document,
    prepare_locally,
    prepare_on,
    wait_until,
    waiting_prepare,
)
from tests.programs.commands import environment_with_tests

pytest.importorskip("ray", reason="the extra `ray` is not installed")

pytestmark = pytest.mark.slow

NODE = {"num_cpus": 1, "object_store_memory": 80 * 2**20}


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    from ray.cluster_utils import Cluster

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", environment_with_tests()["PYTHONPATH"])
        patch.setenv("RAY_AUTH_MODE", "disabled")
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        cluster = Cluster(initialize_head=True, head_node_args=NODE)
        try:
            cluster.add_node(**NODE)
            yield cluster.address
        finally:
            cluster.shutdown()


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return prepare_locally(tmp_path_factory.mktemp("local"), 1)


def on(address: str, **more: object) -> dict[str, object]:
    return {"engine": "ray", "address": address, "tasks_per_job": 3} | more


def test_two_nodes_write_the_same_bytes(address: str, local: Corpus, tmp_path: Path) -> None:
    corpus = prepare_on(on(address), tmp_path / "out", local.folder.parent / "a.txt")
    assert corpus.hash == local.hash
    assert content_of(corpus.folder) == content_of(local.folder)


def test_it_goes_on_after_kills(address: str, local: Corpus, tmp_path: Path) -> None:
    path, out = local.folder.parent / "a.txt", tmp_path / "out"
    with waiting_prepare(on(address), out, path) as (process, workers):
        os.killpg(process.pid, signal.SIGKILL)
        wait_until(lambda: not any(map(is_running, workers)))
    with waiting_prepare(on(address), out, path) as (process, workers):
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 75
        assert not any(map(is_running, workers))
        assert process.stderr is not None
        lines = process.stderr.read().splitlines()
    assert [line.partition(":")[0] for line in lines] == [
        *("read", "find duplicates", "split", "count words", "add counts")
    ]
    corpus = prepare_on(on(address), out, path, lost.die_once)
    assert (tmp_path / "died").exists()
    assert content_of(corpus.folder) == content_of(local.folder)


def test_a_task_that_is_lost_again_and_again_is_told(
    address: str, local: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundles, "RETRIES", 1)
    with pytest.raises(WorkerError, match=r"task 2 .* any of 2 jobs; .* a task of Ray, .* lost"):
        prepare_on(on(address), tmp_path / "out", local.folder.parent / "a.txt", lost.die)


def test_a_failing_document_is_told_as_on_one_machine(address: str, tmp_path: Path) -> None:
    check_failing_document(tmp_path, "ray", f"executor.address='{address}'")


def test_a_cluster_that_is_not_there_is_told(local: Corpus, tmp_path: Path) -> None:
    with pytest.raises(ExecutorError, match=r"^executor.address=127.0.0.1:1: Ray cannot be"):
        prepare_on(on("127.0.0.1:1"), tmp_path / "out", local.folder.parent / "a.txt")


@pytest.mark.parametrize("more", [{"cpus_per_task": 64}, {"mem_per_cpu_gb": 5000}])
def test_what_no_node_has_is_told(
    address: str, local: Corpus, tmp_path: Path, more: dict[str, object]
) -> None:
    with pytest.raises(ExecutorError, match=r"no node of Ray has as much; they have up to 1 cores"):
        prepare_on(on(address, **more), tmp_path / "out", local.folder.parent / "a.txt")


def is_running(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"
