"""Callbacks of Lightning's in a run of clozekit's."""

import csv
from pathlib import Path

import pytest
import torch
from lightning.pytorch.callbacks import BaseFinetuning

from clozekit.errors import ConfigError
from tests.programs.commands import read_rows
from tests.programs.observed_runs import Run


def test_lightnings_checkpoints_can_go_by_a_training_metric(run: Run) -> None:
    folder = run.folder / "monitored"
    run(
        "monitored",
        "+callbacks.mine._target_=lightning.pytorch.callbacks.ModelCheckpoint",
        "+callbacks.mine.monitor=train/mlm_loss",
        "+callbacks.mine.every_n_train_steps=2",
        "+callbacks.mine.save_top_k=-1",
        f"+callbacks.mine.dirpath={folder}/mine",
        "+callbacks.mine.filename='{step}'",
    )
    files = {int(path.stem.split("=")[1]): path for path in (folder / "mine").glob("*.ckpt")}
    assert sorted(files) == [2, 4, 6]
    rows = {int(r["step"]): r for r in read_rows(folder / "metrics.csv") if r["train/mlm_loss"]}
    last = torch.load(files[6], weights_only=True)
    (state,) = (v for k, v in last["callbacks"].items() if k.startswith("ModelCheckpoint"))
    losses = {step: float(rows[step]["train/mlm_loss"]) for step in files}
    assert float(state["best_model_score"]) == pytest.approx(min(losses.values()))


def test_every_logged_step_has_its_metrics_for_callbacks_and_bars(run: Run, plain: Path) -> None:
    rows = {int(r["step"]): r for r in read_rows(plain / "metrics.csv") if r["train/loss"]}
    for event in run.events("plain", "step"):
        row = rows[event["step"]]
        for name in ("train/loss", "train/mlm_loss", "train/nsp_loss", "train/grad_norm"):
            assert event["metrics"][name] == float(row[name])
        assert {"train/loss", "train/mlm_loss", "train/nsp_loss"} <= set(event["bar"])


def test_the_learning_rate_monitor_logs_beside_ours(run: Run) -> None:
    folder = run(
        "monitor",
        "+callbacks.lr._target_=lightning.pytorch.callbacks.LearningRateMonitor",
        "trainer.log_every_n_steps=2",
    )
    with (folder / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    column = next(name for name in rows[0] if name.startswith("lr-"))
    monitored = [(int(row["step"]), float(row[column])) for row in rows if row[column]]
    ours = {int(r["step"]): float(r["train/learning_rate"]) for r in rows if r["train/loss"]}
    assert len(monitored) == 3
    # Lightning's callback numbers a step by those before it.
    for step, rate in monitored:
        assert rate == pytest.approx(ours[step + 1])


def test_another_progress_bar_takes_the_place_of_ours(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    run(
        "rich",
        "callbacks.progress={_target_: clozekit.training.progress_bar.TrainingProgress}",
        "+callbacks.rich._target_=lightning.pytorch.callbacks.RichProgressBar",
        "max_steps=3",
    )
    printed = capsys.readouterr().out
    assert "validation at step" not in printed
    assert "train/mlm_loss" in printed


@pytest.mark.parametrize(
    ("callback", "arguments", "reason"),
    [
        ("StochasticWeightAveraging", "swa_lrs: 0.1", "Lightning's epochs"),
        ("GradientAccumulationScheduler", "scheduling: {0: 2}", "micro_batch_size"),
        ("BatchSizeFinder", "mode: power", "micro_batch_size"),
        ("LearningRateFinder", "min_lr: 0.1", "optimizer.lr"),
        ("ModelPruning", "pruning_fn: l1_unstructured", "Lightning's epochs"),
        ("BackboneFinetuning", "unfreeze_backbone_at_epoch: 1", "freeze_encoder"),
    ],
)
def test_callbacks_that_would_have_no_effect_are_refused(
    callback: str, arguments: str, reason: str, run: Run
) -> None:
    given = f"{{_target_: lightning.pytorch.callbacks.{callback}, {arguments}}}"
    with pytest.raises(ConfigError, match=f"{callback} is not supported.*{reason}"):
        run("refused", f"+callbacks.mine={given}")
    assert not (run.folder / "refused").exists()


class Unfreezing(BaseFinetuning):
    """A user's own."""


def test_a_users_unfreezing_is_refused(run: Run) -> None:
    with pytest.raises(ConfigError, match=r"BaseFinetuning is not supported.*freeze_encoder"):
        run("refused", f"+callbacks.mine._target_={__name__}.Unfreezing")


def of_checkpoints(*arguments: str) -> str:
    target = "_target_: lightning.pytorch.callbacks.ModelCheckpoint"
    return f"+callbacks.mine={{{', '.join([target, *arguments])}}}"


def test_checkpoints_by_a_metric_of_an_earlier_step_are_refused(run: Run) -> None:
    given = of_checkpoints("monitor: train/loss", "every_n_train_steps: 3")
    with pytest.raises(ConfigError, match=r"multiple of trainer\.log_every_n_steps=2"):
        run("refused", given, "trainer.log_every_n_steps=2")


@pytest.mark.parametrize("given", ["dirpath: '{runs}/refused/checkpoints'", "save_top_k: 1"])
def test_checkpoints_among_those_of_clozekit_are_refused(given: str, run: Run) -> None:
    mine = of_checkpoints(given.format(runs=run.folder))
    with pytest.raises(ConfigError, match=r"mine\.dirpath=.* its own checkpoints; it should be"):
        run("refused", mine, *(("logger.csv=null",) if "dirpath" not in given else ()))


def test_checkpoints_by_the_clock_are_those_of_clozekit(run: Run) -> None:
    """Under manual optimization Lightning's own leave this key out."""
    given = (
        "{_target_: lightning.pytorch.callbacks.ModelCheckpoint, "
        "train_time_interval: {_target_: datetime.timedelta, minutes: 1}}"
    )
    with pytest.raises(ConfigError, match="every_n_minutes"):
        run("refused", f"+callbacks.mine={given}")
