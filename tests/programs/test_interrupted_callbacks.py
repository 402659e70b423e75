"""Callbacks in a run that is interrupted or killed, and resumed, against an uninterrupted one."""

from pathlib import Path

import pytest
import torch

from tests.programs.commands import read_rows
from tests.programs.observed_runs import Run, assert_equal_weights

LIGHTNINGS = "lightning.pytorch.callbacks"
HOOKS = "tests.programs.interrupting"


def interrupt(run: Run, name: str, kind: str, step: int, *overrides: str) -> Path:
    """Runs until it is interrupted, and resumes."""
    interrupting = (
        f"+callbacks.interrupt._target_={HOOKS}.{kind}",
        f"+callbacks.interrupt.step={step}",
    )
    with pytest.raises(SystemExit):
        run(name, *overrides, *interrupting)
    return run(name, *overrides, "resume=auto")


@pytest.mark.parametrize(("kind", "step"), [("Stopping", 3), ("Killing", 5)])
def test_lightnings_checkpoints_miss_no_validation(kind: str, step: int, run: Run) -> None:
    name = f"checkpoints{kind}"
    mine = (
        f"+callbacks.mine={{_target_: {LIGHTNINGS}.ModelCheckpoint, monitor: validation/loss, "
        f"save_top_k: -1, dirpath: '{run.folder}/{name}-mine', filename: '{{step}}'}}"
    )
    folder = interrupt(run, name, kind, step, mine, "validate_every_n_steps=2")
    steps = {f"step={step}.ckpt" for step in (2, 4, 6)}
    assert {path.name for path in (run.folder / f"{name}-mine").iterdir()} == steps
    last = torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)
    (state,) = (v for k, v in last["callbacks"].items() if k.startswith("ModelCheckpoint"))
    assert {Path(path).name for path in state["best_k_models"]} == steps


@pytest.mark.parametrize("stop", ["patience: 1, min_delta: 5.0", "stopping_threshold: 100.0"])
def test_a_run_that_lightning_stopped_stays_stopped(stop: str, run: Run) -> None:
    name = f"stopped-{stop.partition(':')[0]}"
    given = (
        f"+callbacks.mine={{_target_: {LIGHTNINGS}.EarlyStopping, monitor: validation/loss, "
        f"{stop}}}",
        *("max_steps=12", "validate_every_n_steps=2"),
    )
    folder = run(name, *given)
    results = (folder / "results.json").read_text()
    ended = len(run.events(name, "step"))
    assert ended < 6
    run(name, *given, "resume=auto")
    assert (folder / "results.json").read_text() == results
    assert len(run.events(name, "step")) == ended


def test_what_callbacks_and_tasks_log_is_not_lost(run: Run) -> None:
    given = (
        *(f"+callbacks.mine._target_={HOOKS}.Counting", f"task._target_={HOOKS}.CountingTask"),
        "validate_every_n_steps=6",
    )
    folder = interrupt(run, "logged", "Stopping", 3, *given)
    rows = read_rows(folder / "metrics.csv")
    # Lightning numbers a step by those before it.
    for column in ("my/steps", "my/step"):
        logged = [(int(row["step"]), float(row[column])) for row in rows if row[column]]
        assert logged == [(step, step + 1) for step in range(6)]


@pytest.fixture(scope="module")
def epochs(run: Run) -> Path:
    """A run of three of Lightning's epochs."""
    return run("epochs", *limited(run, "epochs"))


def limited(run: Run, name: str) -> tuple[str, ...]:
    return (
        *("trainer.limit_train_batches=3", "max_steps=8", "callbacks.checkpoints.every_n_steps=1"),
        f"+callbacks.epochs._target_={HOOKS}.Epochs",
        *(f"+callbacks.epochs.file={run.folder}/{name}.txt", "validate_every_n_steps=8"),
    )


@pytest.mark.parametrize(
    ("kind", "step"),
    [("Killing", 4), ("Killing", 3), ("KillingAtSave", 6), ("Stopping", 2), ("Stopping", 4)],
)
def test_lightnings_epochs_end_where_they_would_have(
    kind: str, step: int, run: Run, epochs: Path
) -> None:
    name = f"epochs-{kind}{step}"
    folder = interrupt(run, name, kind, step, *limited(run, name))
    lines = (run.folder / f"{name}.txt").read_text().splitlines()
    # A step that was killed as it began is begun again.
    assert list(dict.fromkeys(lines)) == (run.folder / "epochs.txt").read_text().splitlines()
    assert_equal_weights(folder, epochs)


def test_a_longer_run_has_the_epochs_of_one_of_its_length(run: Run, epochs: Path) -> None:
    given = (*limited(run, "longer"), "schedule=constant")
    run("longer", *(o for o in given if not o.startswith("max_steps")), "max_steps=4")
    run("longer", *given, "resume=auto")
    lines = (run.folder / "longer.txt").read_text().splitlines()
    lines.remove('["end", 4, 1, null]')
    assert lines == (run.folder / "epochs.txt").read_text().splitlines()
