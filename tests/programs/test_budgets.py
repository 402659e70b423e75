"""Runs whose length is a budget of time or tokens."""

import json
from pathlib import Path
from typing import Any

import pytest

from clozekit.config.train import TrainConfig
from clozekit.data.step import StepBatch
from clozekit.errors import ConfigError
from clozekit.train import train
from clozekit.training import budget as budgets
from clozekit.training.measuring import Measured
from tests.harness.comparing import same
from tests.programs.commands import QUIET, TINY, read_rows, train_config
from tests.programs.observed_runs import assert_equal_weights

FIRST = "{ratio: 0.5, max_seq_length: 16, micro_batch_size: 8}"
MEASURED = Measured(
    step=(1.0, 2.0),
    warm_up=0.5,
    validation=0.25,
    checkpoint=0.125,
    checkpoint_bytes=1000,
    start=1.0,
    peak_bytes=10**6,
    total=3.0,
)
"""What a clock would have said, so that a test does not depend on it."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("budgets")


def config(corpus: Path, folder: Path, name: str, *overrides: str) -> TrainConfig:
    return train_config(
        f"name={name}",
        f"data.path={corpus}",
        f"runs_dir={folder}",
        *TINY,
        *QUIET,
        "global_batch_size=8",
        "micro_batch_size=4",
        "trainer.limit_val_batches=1",
        "trainer.log_every_n_steps=1",
        f"data.first_phase={FIRST}",
        *overrides,
    )


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[Measured]:
    """Lets the measurement run, and replaces what the clock said."""
    calls: list[Measured] = []
    measure = budgets.measure

    def measured(*arguments: Any) -> Measured:
        calls.append(measure(*arguments))
        return MEASURED

    monkeypatch.setattr(budgets, "measure", measured)
    monkeypatch.setattr(budgets, "MOST_SECONDS", 0.01)
    return calls


def test_a_budget_fixes_the_steps_of_an_equal_run(
    corpus: Path, folder: Path, clock: list[Measured]
) -> None:
    # 3 s of measuring, 1.5 s of the start, 0.5 s of the validation and saves, and 10 s of steps:
    # 4 of 1 s and 3 of 2 s.
    results = train(config(corpus, folder, "budget", "budget=15s"))
    record = json.loads((folder / "budget" / "run.json").read_text())
    assert record["budget"] == {"budget": "15s", "max_steps": 7}
    assert len(clock) == 1 and len(clock[0].step) == 2
    assert all(seconds > 0 for seconds in (*clock[0].step, clock[0].validation, clock[0].start))
    equal = train(config(corpus, folder, "steps", "max_steps=7"))
    assert results == equal
    assert_equal_weights(folder / "budget", folder / "steps")
    ours, theirs = (read_rows(folder / name / "metrics.csv") for name in ("budget", "steps"))
    assert ours == theirs and len(ours) == 8
    texts = [(folder / name / "config.yaml").read_text() for name in ("budget", "steps")]
    assert texts[0].replace("budget/", "steps/").replace("name: budget", "name: steps") == texts[1]


def test_a_continued_run_has_the_steps_that_were_fixed(
    corpus: Path, folder: Path, clock: list[Measured]
) -> None:
    from clozekit.runs.checkpoint_file import load_checkpoint

    train(config(corpus, folder, "cut", "budget=15s", "callbacks.checkpoints.every_n_steps=1"))
    checkpoints = folder / "cut" / "checkpoints"
    (checkpoints / "best.ckpt").unlink()
    whole = load_checkpoint(checkpoints / "last.ckpt").state_dict
    whole = {name: tensor.clone() for name, tensor in whole.items()}
    for path in checkpoints.glob("*.ckpt"):
        path.unlink()
    clock.clear()
    train(config(corpus, folder, "cut", "budget=15s", "resume=auto"))
    assert not clock
    assert same(dict(load_checkpoint(checkpoints / "last.ckpt").state_dict), whole)
    with pytest.raises(ConfigError, match=r"budget=20s, but .* budget=15s, for which max_steps=6"):
        train(config(corpus, folder, "cut", "budget=20s", "resume=auto"))


def test_a_budget_that_is_too_short_leaves_nothing(
    corpus: Path, folder: Path, clock: list[Measured]
) -> None:
    with pytest.raises(ConfigError, match=r"budget=5s is too short: .* take about 7 s"):
        train(config(corpus, folder, "short", "budget=5s"))
    assert not (folder / "short").exists()


def test_a_budget_of_a_cooled_run_counts_from_its_beginning(
    corpus: Path, folder: Path, clock: list[Measured]
) -> None:
    overrides = ("validate_every_n_steps=2", "callbacks.checkpoints.save_top_k=-1")
    train(config(corpus, folder, "stable", "max_steps=4", *overrides))
    stable = f"from_run={folder / 'stable'}"
    train(config(corpus, folder, "cooled", stable, "from_step=4", "budget=15s", *overrides))
    record = json.loads((folder / "cooled" / "run.json").read_text())
    assert record["budget"]["max_steps"] > 4 and record["parent"]["step"] == 4
    rows = read_rows(folder / "cooled" / "metrics.csv")
    assert int(rows[-1]["step"]) == record["budget"]["max_steps"]


def test_tokens_are_counted_over_phases_of_different_lengths(
    corpus: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    init = StepBatch.__init__

    def counted(self: Any, *arguments: Any, **named: Any) -> None:
        init(self, *arguments, **named)
        seen.append(self.num_tokens)

    monkeypatch.setattr(StepBatch, "__init__", counted)
    train(config(corpus, folder, "tokens", "max_tokens=1e4"))
    assert sum(seen) == pytest.approx(1e4, rel=0.06)
    assert sum(seen[: len(seen) // 2]) < 0.7 * sum(seen[len(seen) // 2 :])


def test_fewer_tokens_than_a_step_has_are_refused(corpus: Path, folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"max_tokens=10 is less than the about 2\d\d tokens"):
        train(config(corpus, folder, "few", "max_tokens=10"))


def test_a_plan_is_printed_and_nothing_is_written(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    planned = config(corpus, tmp_path / "runs", "plan", "max_steps=40", "plan=true")
    forecast = train(planned)
    out = capsys.readouterr().out
    assert not (tmp_path / "runs").exists()
    for name in ("steps", "tokens", "phase 1", "phase 2", "time", "memory", "disk"):
        assert f"\n{name} " in out
    assert "20 steps of 8 samples" in out
    assert forecast["max_steps"] == 40
    assert forecast["seconds"] > 0
    run = train(config(corpus, tmp_path / "runs", "run", "max_steps=2"))
    assert run
    size = (tmp_path / "runs" / "run" / "checkpoints" / "last.ckpt").stat().st_size
    assert forecast["disk_bytes"] == pytest.approx(2 * size, rel=0.02)


def test_the_plan_of_a_budget(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    forecast = train(config(corpus, tmp_path, "plan", "budget=20s", "plan=true"))
    assert not list(tmp_path.iterdir())
    assert forecast["max_steps"] > 1
    assert forecast["seconds"] <= 20


@pytest.mark.parametrize("given", [("max_steps=40", "plan=true"), ("budget=20s",)])
def test_steps_that_diverge_while_they_are_measured_are_told(
    given: tuple[str, ...], corpus: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as caught:
        train(config(corpus, tmp_path, "diverges", "divergence.max_loss=0.01", *given))
    assert str(caught.value).startswith(f"{given[-1]}: in the steps that are measured, the loss is")
    assert str(caught.value).endswith("at step 1, more than divergence.max_loss=0.01")
    assert not list(tmp_path.iterdir())


def test_without_validation_there_is_no_best_checkpoint(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ("trainer.limit_val_batches=0", "max_steps=40", "plan=true")
    train(config(corpus, tmp_path, "plan", *given, "schedule.warmup_steps=40"))
    assert "for 1 checkpoints" in capsys.readouterr().out
