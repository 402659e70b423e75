"""A run that asks its sweep after each validation: it waits, ends, and can go on."""

import os
import signal
import threading
import time
from pathlib import Path

import pytest
import torch

from clozekit.exit_codes import PREEMPTED, PRUNED
from clozekit.runs.folder import RunFolder
from clozekit.runs.pruning_files import ASKS, Answer, read_report, write_answer
from clozekit.train import train
from clozekit.training import pruning
from tests.programs.commands import QUIET, TINY, run_ranks, train_config

STEPS = (
    *("max_steps=8", "validate_every_n_steps=2", "global_batch_size=8", "micro_batch_size=8"),
    *("callbacks.checkpoints.every_n_steps=3", "resume=auto"),
)


def overrides(corpus: Path, folder: Path) -> list[str]:
    return ["name=a", f"runs_dir={folder}", f"data.path={corpus}", *TINY, *QUIET, *STEPS]


def start(corpus: Path, folder: Path) -> int | dict[str, float]:
    """Trains; gives the exit code, or the results."""
    try:
        return train(train_config(*overrides(corpus, folder)))
    except SystemExit as end:
        return int(str(end.code))


def saved_step(folder: Path, name: str = "last.ckpt") -> int:
    checkpoint = torch.load(folder / "a" / "checkpoints" / name, weights_only=True)
    return int(checkpoint["global_step"])


class Sweep(threading.Thread):
    """Answers the reports of a run; prunes it at one step."""

    def __init__(self, folder: Path, prune_at: int) -> None:
        super().__init__(daemon=True)
        self.folder, self.prune_at = folder / "a", prune_at
        self.reported: list[int] = []
        self.is_over = False

    def run(self) -> None:
        while not self.is_over:
            report = read_report(self.folder)
            if report is not None and report.step not in self.reported:
                assert report.max_steps == 8 and report.metrics["validation/loss"] > 0
                self.reported.append(report.step)
                prune = report.step == self.prune_at
                write_answer(self.folder, Answer(step=report.step, prune=prune))
            time.sleep(0.005)

    def __enter__(self) -> "Sweep":
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.is_over = True
        self.join()


def test_a_pruned_run_ends_at_its_validation_and_can_be_trained_to_the_end(
    corpus: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv(ASKS, "1")
    with Sweep(tmp_path, prune_at=4) as sweep:
        assert start(corpus, tmp_path) == PRUNED
    assert sweep.reported == [2, 4]
    assert saved_step(tmp_path) == 4
    assert "pruned by the sweep after step 4" in capsys.readouterr().out
    assert not RunFolder(tmp_path / "a").results_file.exists()
    # Started again by the sweep, it has the same answer; by hand it goes on.
    assert start(corpus, tmp_path) == PRUNED
    assert saved_step(tmp_path) == 4
    monkeypatch.delenv(ASKS)
    results = start(corpus, tmp_path)
    assert isinstance(results, dict) and saved_step(tmp_path) == 8
    assert start(corpus, tmp_path / "whole") == results


def test_a_run_that_is_stopped_while_it_waits_asks_again(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ASKS, "1")

    def stop_when_it_waits() -> None:
        while read_report(tmp_path / "a") is None:
            time.sleep(0.005)
        time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGTERM)

    stopper = threading.Thread(target=stop_when_it_waits, daemon=True)
    stopper.start()
    assert start(corpus, tmp_path) == PREEMPTED
    stopper.join()
    assert saved_step(tmp_path) == 2, "no step was done without an answer"
    with Sweep(tmp_path, prune_at=2) as sweep:
        assert start(corpus, tmp_path) == PRUNED
    assert sweep.reported == [2]
    assert saved_step(tmp_path) == 2


def test_a_run_does_not_wait_for_ever(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ASKS, "1")
    monkeypatch.setattr(pruning, "PATIENCE", 0.05)
    assert start(corpus, tmp_path) == PREEMPTED
    assert saved_step(tmp_path) == 2


@pytest.mark.slow
def test_all_processes_of_a_pruned_run_end(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    write_answer(tmp_path / "a", Answer(step=2, prune=True))
    given = ("trainer=ddp_cpu", "micro_batch_size=4")
    ended = run_ranks("train", *overrides(corpus, tmp_path), *given, cwd=tmp_path, more={ASKS: "1"})
    assert [each.returncode for each in ended] == [PRUNED, PRUNED], ended[0].stderr
    assert sum(each.stdout.count("pruned by the sweep after step 2") for each in ended) == 1
    assert saved_step(tmp_path) == 2
