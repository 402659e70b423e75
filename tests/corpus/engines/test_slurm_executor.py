"""`prepare` on a real Slurm of two nodes: the same bytes, also after anything is killed."""

import os
import re
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from clozekit.corpus.engines import bundles, slurm_executor
from clozekit.corpus.manifest import Corpus
from clozekit.errors import ConfigError, ExecutorError, WorkerError
from tests.corpus import lost
from tests.corpus.made_texts import content_of
from tests.corpus.runs_of_engines import (
    begin_locally,
    check_failing_document,
    prepare_locally,
    prepare_on,
    waiting_prepare,
)
from tests.harness import slurm
from tests.harness.slurm import Slurm
from tests.programs.commands import environment_with_tests

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(slurm.reason_to_skip() is not None, reason=str(slurm.reason_to_skip())),
]

# Each job has a node of its own.
EXECUTOR = {"engine": "slurm", "tasks_per_job": 5, "sbatch": {"exclusive": True}}


@pytest.fixture(scope="module")
def started() -> Iterator[Slurm]:
    # Not pytest's folder, whose name is too long for a socket.
    folder = Path(tempfile.mkdtemp())
    try:
        with slurm.running(folder) as nodes, pytest.MonkeyPatch.context() as patch:
            for name, value in nodes.environment.items():
                patch.setenv(name, value)
            patch.setenv("PYTHONPATH", environment_with_tests()["PYTHONPATH"])
            patch.setattr(slurm_executor, "SECONDS_BETWEEN_QUESTIONS", 1.0)
            yield nodes
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def cluster(started: Slurm) -> Iterator[Slurm]:
    yield started
    # The jobs of a test that failed would keep the nodes.
    started.run("scancel", f"--user={os.getuid()}")


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return prepare_locally(tmp_path_factory.mktemp("local"), 2)


def jobs_of(cluster: Slurm, out: str, *options: str) -> list[str]:
    """The ids and nodes of the jobs of a corpus that Slurm knows."""
    shown = cluster.run("squeue", "--noheader", "--array", *options, "--format=%i %N %j")
    return [line for line in shown.splitlines() if f" clozekit-{out}-" in line]


def test_two_nodes_write_the_same_bytes(cluster: Slurm, local: Corpus, tmp_path: Path) -> None:
    path = local.folder.parent / "a.txt"
    corpus = prepare_on(EXECUTOR, tmp_path / "same", path)
    assert corpus.hash == local.hash
    assert content_of(corpus.folder) == content_of(local.folder)
    nodes = {line.split()[1] for line in jobs_of(cluster, "same", "--states=all")}
    assert nodes == {"n1", "n2"}
    assert prepare_locally(tmp_path, 1).hash == local.hash


def test_it_goes_on_after_kills(cluster: Slurm, local: Corpus, tmp_path: Path) -> None:
    path, out = local.folder.parent / "a.txt", tmp_path / "killed"
    begin_locally(out, path)
    with waiting_prepare(EXECUTOR, out, path) as (process, _):
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        left = jobs_of(cluster, "killed")
        assert len(left) == 2

    # The next start ends the jobs that are left. SIGTERM ends it and its own.
    with waiting_prepare(EXECUTOR, out, path) as (process, _):
        running = jobs_of(cluster, "killed")
        assert len(running) == 2
        assert not set(running) & set(left)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 75
        assert jobs_of(cluster, "killed") == []
        assert process.stderr is not None
        # What was read before is not read again.
        assert "read: 6 of 6" in process.stderr.read()

    # A job whose process is killed is submitted again.
    corpus = prepare_on(EXECUTOR, out, path, lost.die_once)
    assert (tmp_path / "died").exists()
    assert content_of(corpus.folder) == content_of(local.folder)
    assert jobs_of(cluster, "killed") == []


def test_a_job_that_is_lost_again_and_again_is_told(
    cluster: Slurm, local: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundles, "RETRIES", 1)
    out, path = tmp_path / "lost", local.folder.parent / "a.txt"
    begin_locally(out, path)
    # A job that runs two tasks at once.
    executor = EXECUTOR | {"cpus_per_task": 2, "tasks_per_job": 6}
    with pytest.raises(WorkerError, match=r"task \d .* any of 2 jobs; .* Slurm's job") as told:
        prepare_on(executor, out, path, lost.die)
    (log,) = re.findall(r"whose log (.+) ends with: .*killed by SIGKILL", str(told.value))
    assert "the last words" in Path(log).read_text()
    assert jobs_of(cluster, "lost") == []
    # Another executor continues the work.
    corpus = prepare_on({"engine": "local"}, out, path)
    assert content_of(corpus.folder) == content_of(local.folder)


def test_a_failing_document_is_told_as_on_one_machine(cluster: Slurm, tmp_path: Path) -> None:
    check_failing_document(tmp_path, "slurm")
    assert jobs_of(cluster, "out") == []


def test_a_job_that_cannot_start_is_told(cluster: Slurm, local: Corpus, tmp_path: Path) -> None:
    path, out = local.folder.parent / "a.txt", tmp_path / "long"
    cluster.run("scontrol", "update", "PartitionName=main", "MaxTime=30")
    try:
        with pytest.raises(ExecutorError, match=r"cannot start, .* PartitionTimeLimit; check"):
            prepare_on(EXECUTOR | {"time": 60}, out, path)
    finally:
        cluster.run("scontrol", "update", "PartitionName=main", "MaxTime=INFINITE")
    assert jobs_of(cluster, "long") == []


def test_what_sbatch_refuses_is_told_and_nothing_is_lost(
    cluster: Slurm, local: Corpus, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path, out = local.folder.parent / "a.txt", tmp_path / "refused"
    with pytest.raises(ExecutorError, match=r"^executor=slurm: sbatch failed: .*partition"):
        prepare_on(EXECUTOR | {"partition": "nowhere"}, out, path)
    assert (out / ".work" / "plan.json").exists()
    assert not (out / ".work" / "slurm.json").exists()
    assert "sbatch" not in capfd.readouterr().err


def test_jobs_that_nobody_can_ask_about_are_told(
    local: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, out = local.folder.parent / "a.txt", tmp_path / "moved"
    begin_locally(out, path)
    (out / ".work" / "slurm.json").write_text("{}")
    with monkeypatch.context() as patch:
        patch.setenv("PATH", "/nowhere")
        with pytest.raises(ExecutorError, match=r"named clozekit-moved-\w+ .* no squeue here; "):
            prepare_on({"engine": "local"}, out, path)
        with pytest.raises(ConfigError, match=r"there is no sbatch here"):
            prepare_on(EXECUTOR, out, path)
