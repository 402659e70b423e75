"""Which checkpoints are kept: the last, the k best, and what a kill between two files leaves."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.pytorch.trainer.states import TrainerFn

from clozekit.data.module import StreamDataModule
from clozekit.data.order import Position
from clozekit.tasks.base import TaskModule
from clozekit.training.checkpoints import Checkpoints
from clozekit.training.monitoring import monitored


class OneProcess:
    """A strategy of one process."""

    def broadcast(self, value: Any) -> Any:
        return value


class Run:
    """A Trainer in small: it counts steps and writes checkpoints that hold the step."""

    def __init__(self, folder: Path, validate_every: int = 1000, **options: Any) -> None:
        chosen = {"monitor": "validation/loss", "mode": "min"} | options
        self.callback = Checkpoints(str(folder), **chosen)
        self.validate_every = validate_every
        datamodule = StreamDataModule(
            seed=0, global_batch_size=1, micro_batch_size=1, num_workers=0, max_seq_length=8
        )
        self.trainer: Any = SimpleNamespace(
            datamodule=datamodule,
            accumulate_grad_batches=2,
            val_check_interval=2 * validate_every,
            is_global_zero=True,
            strategy=OneProcess(),
            state=SimpleNamespace(fn=TrainerFn.FITTING),
            callback_metrics={},
            save_checkpoint=self.save,
        )
        self.saved: list[str] = []

    def save(self, path: Path, weights_only: bool) -> None:
        assert weights_only is False
        path.parent.mkdir(parents=True, exist_ok=True)
        content = {"step": self.step, "checkpoints": self.callback.state_dict()}
        temporary = path.with_name(f".{path.name}.1")
        torch.save(content, temporary)
        temporary.replace(path)
        self.saved.append(f"{path.stem}@{self.step}")

    @property
    def step(self) -> int:
        step: int = self.trainer.datamodule.position.step
        return step

    def start(self, resumed: dict[str, Any] | None = None) -> None:
        if resumed is not None:
            self.trainer.datamodule.position = Position(resumed["step"])
            self.callback.load_state_dict(resumed["checkpoints"])
        self.callback.on_train_start(self.trainer, None)  # type: ignore[arg-type]

    def take_steps(self, number: int, scores: dict[int, float] | None = None) -> None:
        for _ in range(number):
            for micro_step in range(2):
                batch: Any = SimpleNamespace(step=SimpleNamespace(is_last=micro_step == 1))
                if micro_step == 1:
                    self.trainer.datamodule.position = Position(self.step + 1)
                self.callback.on_train_batch_end(self.trainer, None, None, batch, 0)  # type: ignore[arg-type]
            if self.step % self.validate_every == 0:
                assert scores is not None
                metric = torch.tensor(scores[self.step])
                self.trainer.callback_metrics = {"validation/loss": metric}
                self.callback.on_validation_end(self.trainer, None)  # type: ignore[arg-type]


def files(folder: Path) -> dict[str, int]:
    return {path.name: torch.load(path)["step"] for path in folder.glob("*.ckpt")}


def test_the_last_is_saved_every_n_steps(tmp_path: Path) -> None:
    run = Run(tmp_path, every_n_steps=3, monitor=None)
    run.take_steps(8)
    assert run.saved == ["last@3", "last@6"]
    assert files(tmp_path) == {"last.ckpt": 6}


def test_the_last_is_saved_every_n_minutes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    run = Run(tmp_path, every_n_steps=None, every_n_minutes=0.5, monitor=None)
    for _ in range(7):
        now[0] += 20
        run.take_steps(1)
    assert run.saved == ["last@2", "last@4", "last@6"]


def test_the_first_processs_clock_counts(tmp_path: Path) -> None:
    class FirstSaysYes(OneProcess):
        def broadcast(self, value: Any) -> Any:
            return True

    run = Run(tmp_path, every_n_steps=None, every_n_minutes=1e9, monitor=None)
    run.trainer.strategy = FirstSaysYes()
    run.take_steps(1)
    assert run.saved == ["last@1"]


def test_a_step_that_is_validated_is_saved_after_its_validation(tmp_path: Path) -> None:
    run = Run(tmp_path, validate_every=2, every_n_steps=2)
    run.take_steps(2, {2: 1.0})
    assert run.saved == ["step-2@2", "last@2"]
    assert torch.load(tmp_path / "last.ckpt")["checkpoints"]["scores"] == {2: 1.0}


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
    run = Run(tmp_path, validate_every=1, mode=mode, save_top_k=top_k)
    run.take_steps(5, SCORES)
    best = min(kept, key=lambda step: SCORES[step] * (1 if mode == "min" else -1))
    expected = {f"step-{step}.ckpt": step for step in kept}
    assert files(tmp_path) == {**expected, "best.ckpt": best, "last.ckpt": 5}


def test_of_equal_scores_the_first_is_the_best(tmp_path: Path) -> None:
    run = Run(tmp_path, validate_every=1)
    run.take_steps(3, dict.fromkeys((1, 2, 3), 1.0))
    assert files(tmp_path) == {"step-1.ckpt": 1, "best.ckpt": 1, "last.ckpt": 3}


def test_an_unknown_metric_is_told_with_those_there_are(tmp_path: Path) -> None:
    run = Run(tmp_path, validate_every=1, monitor="validation/f1")
    with pytest.raises(ValueError, match=r"'validation/f1' is not a metric.*validation/loss"):
        run.take_steps(1, {1: 1.0})


def test_an_unknown_mode_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="mode='best': it should be 'min', 'max' or 'auto'"):
        Checkpoints(str(tmp_path), mode="best")  # type: ignore[arg-type]


def test_a_resumed_run_compares_with_the_best_before(tmp_path: Path) -> None:
    Run(tmp_path, validate_every=1).take_steps(2, {1: 1.0, 2: 2.0})
    resumed = Run(tmp_path, validate_every=1)
    resumed.start(torch.load(tmp_path / "last.ckpt"))
    assert {path.name for path in tmp_path.iterdir()} == {"step-1.ckpt", "best.ckpt", "last.ckpt"}
    resumed.take_steps(1, {3: 1.5})
    assert files(tmp_path) == {"step-1.ckpt": 1, "best.ckpt": 1, "last.ckpt": 3}


def test_scores_of_another_metric_do_not_count(tmp_path: Path) -> None:
    Run(tmp_path, validate_every=1).take_steps(1, {1: 1.0})
    resumed = Run(tmp_path, validate_every=1, mode="max")
    resumed.start(torch.load(tmp_path / "last.ckpt"))
    assert resumed.callback.scores == {}
    assert files(tmp_path) == {"step-1.ckpt": 1, "best.ckpt": 1, "last.ckpt": 1}


def test_scores_whose_files_are_elsewhere_do_not_count(tmp_path: Path) -> None:
    Run(tmp_path / "old", validate_every=1).take_steps(1, {1: 1.0})
    resumed = Run(tmp_path / "new", validate_every=1)
    resumed.start(torch.load(tmp_path / "old" / "last.ckpt"))
    resumed.take_steps(1, {2: 2.0})
    assert files(tmp_path / "new") == {"step-2.ckpt": 2, "best.ckpt": 2, "last.ckpt": 2}


def test_a_kill_before_the_best_got_its_name_is_made_good(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(tmp_path, validate_every=1)
    run.take_steps(1, {1: 2.0})

    def kill(*names: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("clozekit.training.checkpoints.link_atomically", kill)
        with pytest.raises(KeyboardInterrupt):
            run.take_steps(1, {2: 1.0})
    assert files(tmp_path) == {"step-1.ckpt": 1, "step-2.ckpt": 2, "best.ckpt": 1, "last.ckpt": 1}
    resumed = Run(tmp_path, validate_every=1)
    resumed.start(torch.load(tmp_path / "step-2.ckpt"))
    assert files(tmp_path) == {"step-2.ckpt": 2, "best.ckpt": 2, "last.ckpt": 1}


def test_half_written_files_of_a_killed_run_are_removed(tmp_path: Path) -> None:
    run = Run(tmp_path, every_n_steps=1, monitor=None)
    run.take_steps(1)
    (tmp_path / ".last.ckpt.4711").write_bytes(b"half")
    resumed = Run(tmp_path)
    resumed.start(torch.load(tmp_path / "last.ckpt"))
    assert [path.name for path in tmp_path.iterdir()] == ["last.ckpt"]


def test_an_interrupted_steps_checkpoint_lies_beside_the_last(tmp_path: Path) -> None:
    run = Run(tmp_path, every_n_steps=4, monitor=None)
    run.take_steps(6)
    run.callback.save_preempted(run.trainer)
    assert files(tmp_path) == {"last.ckpt": 4, "preempted.ckpt": 6}
    resumed = Run(tmp_path, every_n_steps=4, monitor=None)
    resumed.start(torch.load(tmp_path / "preempted.ckpt"))
    resumed.take_steps(1)
    assert files(tmp_path) == {"last.ckpt": 4, "preempted.ckpt": 6}
    resumed.take_steps(1)
    assert files(tmp_path) == {"last.ckpt": 8}


def test_a_run_that_ends_leaves_no_interrupted_step(tmp_path: Path) -> None:
    run = Run(tmp_path, every_n_steps=4, monitor=None)
    run.take_steps(6)
    run.callback.save_preempted(run.trainer)
    run.callback.on_train_end(run.trainer, None)  # type: ignore[arg-type]
    assert files(tmp_path) == {"last.ckpt": 4}


def test_an_interruption_at_a_saved_step_saves_nothing_more(tmp_path: Path) -> None:
    run = Run(tmp_path, every_n_steps=2, monitor=None)
    run.take_steps(2)
    run.callback.save_preempted(run.trainer)
    assert files(tmp_path) == {"last.ckpt": 2}


def test_the_time_that_checkpoints_take_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = iter(range(100))
    monkeypatch.setattr("time.perf_counter", lambda: float(next(ticks)))
    run = Run(tmp_path, every_n_steps=1, monitor=None)
    run.take_steps(3)
    assert run.callback.seconds == 3.0


def test_a_plain_validation_saves_nothing(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.trainer.state.fn = TrainerFn.VALIDATING
    run.callback.on_validation_end(run.trainer, None)  # type: ignore[arg-type]
    assert run.saved == []


def test_a_metric_of_the_users_own_needs_its_mode(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"monitor='validation/f1' needs 'min' or 'max'"):
        Checkpoints(str(tmp_path), monitor="validation/f1")


def test_the_task_says_what_is_monitored_unless_the_user_does() -> None:
    task = TaskModule()
    assert monitored(task, "auto", "auto") == ("validation/loss", "min")
    assert monitored(task, "auto", "max") == ("validation/loss", "max")
    assert monitored(task, "validation/f1", "max") == ("validation/f1", "max")
    assert monitored(task, None, "auto") == (None, "auto")
