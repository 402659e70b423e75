"""Which checkpoints are kept: the last, the k best, and what a kill between two files leaves."""

from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.strategies import SingleDeviceStrategy

from clozekit.errors import ConfigError
from clozekit.exit_codes import PREEMPTED
from clozekit.tasks.base import TaskModule
from clozekit.training import checkpoints
from clozekit.training.checkpoints import Checkpoints
from clozekit.training.monitoring import monitored
from tests.tasks.training import DrawnRows
from tests.training.saved_runs import Run, Scored, files, stop_at


def test_the_last_is_saved_every_n_steps(tmp_path: Path) -> None:
    run = Run(tmp_path, every_n_steps=3, monitor=None)
    run.train(8)
    assert run.saved == ["last@3", "last@6"]
    assert files(tmp_path) == {"last.ckpt": 6}


def test_the_last_is_saved_every_n_minutes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])

    def tick(module: Any, batch: Any) -> None:
        now[0] += 20

    run = Run(tmp_path, tick=tick, every_n_steps=None, every_n_minutes=0.5, monitor=None)
    run.train(7)
    assert run.saved == ["last@2", "last@4", "last@6"]


class FirstSaysYes(SingleDeviceStrategy):
    """The strategy of a process beside a first one, which answers yes."""

    def broadcast(self, obj: Any, src: int = 0) -> Any:
        return True if isinstance(obj, bool) else obj


def test_the_first_processs_clock_counts(tmp_path: Path) -> None:
    options: dict[str, Any] = {"every_n_steps": None, "every_n_minutes": 1e9, "monitor": None}
    alone = Run(tmp_path, **options)
    alone.train(1)
    assert alone.saved == []
    run = Run(tmp_path, strategy=FirstSaysYes(device="cpu"), **options)
    run.train(1)
    assert run.saved == ["last@1"]


def test_a_step_that_is_validated_is_saved_after_its_validation(tmp_path: Path) -> None:
    run = Run(tmp_path, validate_every=2, every_n_steps=2)
    run.train(2, {2: 1.0})
    assert run.saved == ["step-2@2", "last@2"]
    content = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert content["callbacks"]["Checkpoints"]["scores"] == {2: 1.0}


SCORES = {1: 5.0, 2: 3.0, 3: float("nan"), 4: 4.0, 5: 2.0}


@pytest.mark.parametrize(
    ("mode", "top_k", "kept"),
    [
        ("min", 1, [5]),
        ("min", 2, [2, 5]),
        ("max", 1, [1]),
        ("max", 2, [1, 4]),
        ("max", 5, [*SCORES]),
    ],
)
def test_the_k_best_are_kept(mode: Any, top_k: int, kept: list[int], tmp_path: Path) -> None:
    Run(tmp_path, validate_every=1, mode=mode, save_top_k=top_k).train(5, SCORES)
    best = min(kept, key=lambda step: SCORES[step] * (1 if mode == "min" else -1))
    expected = {f"step-{step}.ckpt": step for step in kept}
    assert files(tmp_path) == {**expected, "best.ckpt": best, "last.ckpt": 5}


def test_of_equal_scores_the_first_is_the_best(tmp_path: Path) -> None:
    Run(tmp_path, validate_every=1).train(3, dict.fromkeys((1, 2, 3), 1.0))
    assert files(tmp_path) == {"step-1.ckpt": 1, "best.ckpt": 1, "last.ckpt": 3}


def test_an_unknown_metric_is_told_with_those_there_are(tmp_path: Path) -> None:
    run = Run(tmp_path, validate_every=1, monitor="validation/f1")
    with pytest.raises(ConfigError, match=r"monitor=validation/f1 is not .*validation/loss"):
        run.train(1, {1: 1.0})


def test_an_unknown_mode_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="mode='best' must be 'min', 'max' or 'auto'"):
        Checkpoints(str(tmp_path), mode="best")  # type: ignore[arg-type]


def test_a_resumed_run_compares_with_the_best_before(tmp_path: Path) -> None:
    Run(tmp_path, validate_every=1).train(2, {1: 1.0, 2: 2.0})
    resumed = Run(tmp_path, validate_every=1)
    resumed.train(3, {3: 1.5}, resume=tmp_path / "last.ckpt")
    assert resumed.at_start.files == {"step-1.ckpt": 1, "best.ckpt": 1, "last.ckpt": 2}
    assert files(tmp_path) == {"step-1.ckpt": 1, "best.ckpt": 1, "last.ckpt": 3}


def test_scores_of_another_metric_do_not_count(tmp_path: Path) -> None:
    Run(tmp_path, validate_every=1).train(1, {1: 1.0})
    resumed = Run(tmp_path, validate_every=1, mode="max")
    resumed.train(2, {2: 0.5}, resume=tmp_path / "last.ckpt")
    assert resumed.at_start.scores == {}
    assert resumed.at_start.files == {"step-1.ckpt": 1, "best.ckpt": 1, "last.ckpt": 1}
    assert resumed.callback.scores == {2: 0.5}


def test_scores_whose_files_are_elsewhere_do_not_count(tmp_path: Path) -> None:
    Run(tmp_path / "old", validate_every=1).train(1, {1: 1.0})
    resumed = Run(tmp_path / "new", validate_every=1)
    resumed.train(2, {2: 2.0}, resume=tmp_path / "old" / "last.ckpt")
    assert files(tmp_path / "new") == {"step-2.ckpt": 2, "best.ckpt": 2, "last.ckpt": 2}


class Killed(BaseException):
    """Ends a run at once."""


def test_a_kill_before_the_best_got_its_name_is_made_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = checkpoints.link_atomically

    def kill(source: Path, target: Path) -> None:
        if source.name == "step-2.ckpt":
            raise Killed
        link(source, target)

    with monkeypatch.context() as patched:
        patched.setattr(checkpoints, "link_atomically", kill)
        with pytest.raises(Killed):
            Run(tmp_path, validate_every=1).train(2, {1: 2.0, 2: 1.0})
    assert files(tmp_path) == {"step-1.ckpt": 1, "step-2.ckpt": 2, "best.ckpt": 1, "last.ckpt": 1}
    resumed = Run(tmp_path, validate_every=1)
    resumed.train(3, {3: 3.0}, resume=tmp_path / "step-2.ckpt")
    assert resumed.at_start.files == {"step-2.ckpt": 2, "best.ckpt": 2, "last.ckpt": 1}
    assert files(tmp_path) == {"step-2.ckpt": 2, "best.ckpt": 2, "last.ckpt": 3}


@pytest.mark.parametrize("max_steps", [1, 2], ids=["no step is left", "a step is left"])
@pytest.mark.parametrize("name", [".last.ckpt.4711", ".last.ckpt.3df0e21e0b01cfa7.tmp"])
def test_half_written_files_of_a_killed_run_are_removed(
    name: str, max_steps: int, tmp_path: Path
) -> None:
    Run(tmp_path, every_n_steps=1, monitor=None).train(1)
    (tmp_path / name).write_bytes(b"half")
    Run(tmp_path).train(max_steps, resume=tmp_path / "last.ckpt")
    assert [path.name for path in tmp_path.iterdir()] == ["last.ckpt"]


def interrupted(folder: Path, step: int, **options: Any) -> None:
    """Trains until a signal comes in the step after which `step` steps are done."""
    with pytest.raises(SystemExit) as ended:
        Run(folder, tick=stop_at(step - 1), monitor=None, **options).train(step + 10)
    assert ended.value.code == PREEMPTED


def test_an_interrupted_steps_checkpoint_lies_beside_the_last(tmp_path: Path) -> None:
    interrupted(tmp_path, 6, every_n_steps=4)
    assert files(tmp_path) == {"last.ckpt": 4, "preempted.ckpt": 6}
    found: dict[int, dict[str, int]] = {}

    def look(module: Any, batch: Any) -> None:
        found[batch.index] = files(tmp_path)

    resumed = Run(tmp_path, tick=look, every_n_steps=4, monitor=None)
    resumed.train(9, resume=tmp_path / "preempted.ckpt")
    assert found == {
        6: {"last.ckpt": 4, "preempted.ckpt": 6},
        7: {"last.ckpt": 4, "preempted.ckpt": 6},
        8: {"last.ckpt": 8},
    }


def test_a_run_that_ends_leaves_no_interrupted_step(tmp_path: Path) -> None:
    interrupted(tmp_path, 6, every_n_steps=4)
    resumed = Run(tmp_path, every_n_steps=4, monitor=None)
    resumed.train(7, resume=tmp_path / "preempted.ckpt")
    assert resumed.saved == []
    assert files(tmp_path) == {"last.ckpt": 4}


def test_an_interruption_at_a_saved_step_saves_nothing_more(tmp_path: Path) -> None:
    interrupted(tmp_path, 2, every_n_steps=2)
    assert files(tmp_path) == {"last.ckpt": 2}


def test_the_time_that_checkpoints_take_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = count()
    monkeypatch.setattr("time.perf_counter", lambda: float(next(ticks)))
    run = Run(tmp_path, every_n_steps=1, monitor=None)
    run.train(3)
    assert run.callback.seconds == 3.0


def test_a_plain_validation_saves_nothing(tmp_path: Path) -> None:
    run = Run(tmp_path, validate_every=1)
    run.trainer(1).validate(Scored({0: 1.0}), datamodule=DrawnRows("regression"))
    assert run.saved == []


def test_the_validation_before_training_saves_nothing(tmp_path: Path) -> None:
    run = Run(tmp_path, validate_every=2, every_n_steps=None)
    trainer = run.trainer(2, num_sanity_val_steps=1)
    trainer.fit(Scored({0: 1.0, 2: 5.0}), datamodule=DrawnRows("regression"))
    assert run.saved == ["step-2@2", "last@2"]
    assert run.callback.scores == {2: 5.0}


def test_a_metric_of_the_users_own_needs_its_mode(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"with monitor=validation/f1 it should be min or max"):
        Checkpoints(str(tmp_path), monitor="validation/f1")


def test_the_task_says_what_is_monitored_unless_the_user_does() -> None:
    task = TaskModule()
    assert monitored(task, "auto", "auto") == ("validation/loss", "min")
    assert monitored(task, "auto", "max") == ("validation/loss", "max")
    assert monitored(task, "validation/f1", "max") == ("validation/f1", "max")
    assert monitored(task, None, "auto") == (None, "auto")
