"""A killed `clozekit prepare` goes on where it was, to the same bytes."""

import signal
from pathlib import Path

import pytest

from clozekit.config.prepare import PrepareConfig
from clozekit.corpus import pipeline
from clozekit.corpus.manifest import Corpus
from clozekit.errors import ConfigError, WorkerError
from clozekit.prepare import prepare
from tests.corpus import dying, killed_prepare
from tests.corpus.made_texts import config, content_of, make_documents, prepare_text, write_text
from tests.corpus.runs_of_engines import wait_until
from tests.harness.command_server import server
from tests.programs.commands import environment_with_tests, is_there

DOCUMENTS = make_documents(120)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    folder = tmp_path_factory.mktemp("uninterrupted")
    path = write_text(folder / "a.txt", DOCUMENTS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "PARTITION_BYTES", 3_000)
        return prepare_text(folder / "out", path, shard_tokens=1_000)


def run_and_kill(wanted: PrepareConfig, stage: str, victim: str, log: Path) -> int:
    """Runs `killed_prepare` and returns its exit code, when all its processes have ended."""
    arguments = [wanted.model_dump_json(), "3000", stage, victim, str(log)]
    output = log.with_suffix(".txt")
    command = server().start(
        arguments, log.parent, environment_with_tests(), output, output, killed_prepare.__name__
    )
    code = command.wait(120)
    # Those that it has started may outlive it a little.
    wait_until(lambda: not is_there(command.pid))
    return code


@pytest.mark.parametrize(
    ("stage", "victim", "workers"),
    [
        ("read_partition", 2, 1),
        ("mark_documents", 3, 1),
        ("count_group", 3, 1),
        ("tokenize_group", 2, 1),
        ("build_shard", 1, 1),
        ("read_partition", 4, 2),
        ("tokenize_group", 4, 2),
    ],
)
def test_a_killed_run_goes_on_where_it_was(
    tmp_path: Path, uninterrupted: Corpus, stage: str, victim: int, workers: int
) -> None:
    out = tmp_path / "out"
    values = {**uninterrupted.manifest.configuration, "out": str(out), "workers": workers}
    wanted = PrepareConfig.model_validate(values)
    killed = run_and_kill(wanted, stage, str(victim), tmp_path / "killed.log")
    assert killed == -signal.SIGKILL
    assert not (out / "manifest.json").exists()
    logs = out / ".work" / "logs" / stage
    done = {int(completion.name) for completion in (logs / "completions").iterdir()}
    assert done
    assert victim not in done
    with pytest.raises(ConfigError, match=r"validation_fraction was 0.2 and is now 0.5"):
        prepare(wanted.model_copy(update={"validation_fraction": 0.5}))
    resumed = run_and_kill(wanted, stage, "none", tmp_path / "resumed.log")
    assert resumed == 0, (tmp_path / "resumed.txt").read_text()
    redone = {int(number) for number in (tmp_path / "resumed.log").read_text().split()}
    assert victim in redone
    assert not redone & done
    assert redone | done == set(range(len(redone | done)))
    assert content_of(out) == content_of(uninterrupted.folder)


def test_a_killed_run_whose_source_has_changed_starts_anew(tmp_path: Path) -> None:
    path = write_text(tmp_path / "a.txt", DOCUMENTS)
    out = tmp_path / "out"
    wanted = config(out, {"format": "text", "path": str(path)})
    run_and_kill(wanted, "tokenize_group", "2", tmp_path / "killed.log")
    assert (out / ".work" / "division.json").exists()
    write_text(path, DOCUMENTS[:-1])
    changed = prepare(wanted)
    assert changed.manifest == prepare_text(tmp_path / "fresh", path).manifest


def test_a_killed_worker_is_told_and_the_next_run_goes_on(
    tmp_path: Path, uninterrupted: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "PARTITION_BYTES", 3_000)
    out = tmp_path / "out"
    values = {**uninterrupted.manifest.configuration, "out": str(out), "workers": 2}
    wanted = PrepareConfig.model_validate(values)
    with monkeypatch.context() as patch:
        patch.setattr(pipeline, "tokenize_group", dying.tokenize_group)
        with pytest.raises(WorkerError, match=r"killed by SIGKILL, probably .* fewer workers"):
            prepare(wanted)
    completions = out / ".work" / "logs" / "tokenize_group" / "completions"
    assert any(completions.iterdir())
    prepare(wanted)
    assert content_of(out) == content_of(uninterrupted.folder)
