"""Callbacks of the configuration: what would fail in training, or do nothing, is refused."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import pytest
import torch
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import DeviceStatsMonitor

from clozekit.config.callbacks import metrics_of_callbacks
from clozekit.config.train import TrainConfig
from clozekit.errors import ConfigError
from clozekit.tasks.base import TaskModule
from clozekit.train import train
from clozekit.training.callbacks import (
    check_folders,
    check_validations,
    make_callbacks,
    monitors_of,
)
from clozekit.training.checkpoints import Checkpoints
from clozekit.training.failures import lightning_errors_in_words
from clozekit.training.monitoring import check_monitors
from tests.programs.commands import QUIET, TINY, train_config

LIGHTNINGS = "lightning.pytorch.callbacks"


def configured(corpus: Any, folder: Path, *more: str) -> TrainConfig:
    return train_config(
        *("name=x", f"runs_dir={folder}", f"data.path={corpus}", *TINY, *QUIET),
        *("global_batch_size=4", "micro_batch_size=4", "trainer.limit_val_batches=1"),
        *(("max_steps=2",) if not any(o.startswith("max_") for o in more) else ()),
        *more,
    )


@pytest.mark.parametrize("folder", ["elsewhere", "/proc/x", "{runs}/x"])
def test_checkpoints_of_a_run_are_in_its_own_folder(folder: str, tmp_path: Path) -> None:
    folder = folder.format(runs=tmp_path)
    config = configured("a", tmp_path, f"callbacks.checkpoints.dirpath={folder}")
    with pytest.raises(ConfigError) as caught:
        make_callbacks(config)
    assert str(caught.value) == (
        f"callbacks.checkpoints.dirpath={folder}: it should be {tmp_path}/x/checkpoints, where "
        "resume, from_run and the verbs look for the checkpoints of this run; set runs_dir for "
        "another place"
    )


def test_the_runs_folder_may_be_written_in_another_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other").mkdir()
    dirpath = f"callbacks.checkpoints.dirpath={tmp_path}/other/../runs/x/checkpoints"
    assert "checkpoints" in make_callbacks(configured("a", Path("runs"), dirpath))


@pytest.mark.parametrize("kind", ["folder", "file", "below a file"])
def test_a_folder_that_cannot_be_written_is_refused(kind: str, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    folder = {"folder": "/proc/x", "file": str(file), "below a file": f"{file}/a"}[kind]
    with pytest.raises(ConfigError, match=rf"callbacks\.mine\.dirpath={folder} cannot be written"):
        check_folders({"mine": Checkpoints(folder)})


def test_folders_are_tried_before_training(corpus: Path, tmp_path: Path) -> None:
    mine = f"{{_target_: {LIGHTNINGS}.ModelCheckpoint, dirpath: /proc/x}}"
    config = configured(corpus, tmp_path, f"+callbacks.mine={mine}")
    with pytest.raises(ConfigError, match=r"callbacks\.mine\.dirpath=/proc/x cannot be written: "):
        train(config)
    assert not (tmp_path / "x").exists()


def test_a_folder_that_can_be_written_is_left_empty(tmp_path: Path) -> None:
    check_folders({"mine": Checkpoints(str(tmp_path / "a" / "b"))})
    assert list((tmp_path / "a" / "b").iterdir()) == []


def of_lightning(kind: str, *arguments: str) -> str:
    return f"+callbacks.mine={{{', '.join([f'_target_: {LIGHTNINGS}.{kind}', *arguments])}}}"


class Known(TaskModule[Any]):
    """A task that says what its validations give."""

    def validation_metrics_and_modes(self) -> dict[str, Literal["min", "max"] | None]:
        return {"validation/loss": "min", "validation/accuracy": "max", "validation/rate": None}


class Own(Callback):
    """A callback of a user's, which may log anything."""


def check(*overrides: str) -> None:
    config = configured("a", Path("runs"), *overrides)
    module = Known()
    monitors = monitors_of(make_callbacks(config), module)
    check_monitors(monitors, module, metrics_of_callbacks(config))


@pytest.mark.parametrize("kind", ["EarlyStopping", "ModelCheckpoint"])
def test_the_metrics_of_lightnings_callbacks_are_checked(kind: str) -> None:
    for monitor in ("val_loss", "validation/los", "loss"):
        message = rf"callbacks\.mine\.monitor={monitor} is not a validation metric; the metrics are"
        with pytest.raises(ConfigError, match=message):
            check(of_lightning(kind, f"monitor: {monitor}"))
    message = r"callbacks\.mine\.mode=max would take the worst validation/loss for the best"
    with pytest.raises(ConfigError, match=message):
        check(of_lightning(kind, "monitor: validation/loss", "mode: max"))
    with pytest.raises(ConfigError, match=r"mine\.mode=min would .* it should be max"):
        check(of_lightning(kind, "monitor: validation/accuracy"))


@pytest.mark.parametrize("kind", ["EarlyStopping", "ModelCheckpoint"])
def test_metrics_that_lightnings_callbacks_may_go_by(kind: str) -> None:
    for monitor in ("validation/loss", "validation/rate", "train/loss", "probe/x_accuracy"):
        check(of_lightning(kind, f"monitor: {monitor}"))
    check(of_lightning(kind, "monitor: validation/accuracy", "mode: max"))
    added = "+callbacks.added._target_=clozekit.training.full_sentences.FullSentencesLoss"
    check(added, of_lightning(kind, "monitor: validation/full_sentences_mlm_loss"))
    own = f"+callbacks.own._target_={__name__}.Own"
    check(own, of_lightning(kind, "monitor: what/it/logs"))
    with pytest.raises(ConfigError, match=r"mode=max would take the worst"):
        check(own, of_lightning(kind, "monitor: validation/loss", "mode: max"))


def test_lightnings_checkpoints_may_go_by_none_or_the_step() -> None:
    check(of_lightning("ModelCheckpoint"))
    check(of_lightning("ModelCheckpoint", "monitor: step", "mode: max"))
    with pytest.raises(ConfigError, match="is not a validation metric"):
        check(of_lightning("EarlyStopping", "monitor: step"))


@pytest.mark.parametrize("kind", ["LearningRateMonitor", "DeviceStatsMonitor"])
def test_callbacks_that_write_to_loggers_need_one(kind: str) -> None:
    with pytest.raises(ConfigError, match=rf"callbacks\.mine: {kind} writes to loggers, and there"):
        make_callbacks(configured("a", Path("runs"), "logger.csv=null", of_lightning(kind)))
    assert "mine" in make_callbacks(configured("a", Path("runs"), of_lightning(kind)))


def test_such_callbacks_can_be_tried_out(corpus: Path, tmp_path: Path) -> None:
    monitor = of_lightning("LearningRateMonitor")
    for more in ((), ("logger.csv=null",)):
        assert train(configured(corpus, tmp_path, monitor, "trainer.fast_dev_run=true", *more))


@pytest.mark.parametrize(
    ("kind", "argument", "message"),
    [
        ("ModelSummary", "max_depth: -5", r"mine\.max_depth=-5: it should be -1, 0 or more"),
        ("RichModelSummary", "max_depth: -2", r"mine\.max_depth=-2: it should be -1"),
        ("SpikeDetection", "warmup: 3", "SpikeDetection is not supported.*divergence"),
    ],
)
def test_other_callbacks_that_would_fail_are_refused(
    kind: str, argument: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        make_callbacks(configured("a", Path("runs"), of_lightning(kind, argument)))


def test_what_lightnings_callbacks_refuse_in_training_is_one_sentence(
    corpus: Path, tmp_path: Path
) -> None:
    stopping = of_lightning("EarlyStopping", "monitor: train/los")
    with pytest.raises(ConfigError, match="metric `train/los` which is not available"):
        train(configured(corpus, tmp_path, stopping, "validate_every_n_steps=1"))


def test_a_package_that_a_callback_misses_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{LIGHTNINGS}.device_stats_monitor._PSUTIL_AVAILABLE", False)
    trainer: Any = SimpleNamespace(
        loggers=[1], strategy=SimpleNamespace(root_device=torch.device("cpu"))
    )
    with pytest.raises(ConfigError, match="`psutil` is not installed"), lightning_errors_in_words():
        DeviceStatsMonitor().setup(trainer, Known(), "fit")


def test_errors_of_others_keep_their_traceback() -> None:
    with pytest.raises(ValueError, match="mine"), lightning_errors_in_words():
        raise ValueError("mine")


STOPPING = (
    "+callbacks.stop._target_=clozekit.training.monitoring.EarlyStopping",
    f"+callbacks.stop={{_target_: {LIGHTNINGS}.EarlyStopping, monitor: validation/loss}}",
)


def check_waiting(*overrides: str) -> None:
    config = configured("a", Path("runs"), *overrides)
    limit = config.trainer.limit_val_batches
    given = config.validate_every_n_steps or config.trainer.val_check_interval or 2
    # As Lightning has it: a number of steps, at most all of them, and none for a time.
    interval = None if isinstance(given, str) else max(1, min(int(given), 2))
    trainer: Any = SimpleNamespace(
        limit_val_batches=limit, val_check_interval=interval, max_steps=2
    )
    callbacks = make_callbacks(config)
    check_validations(callbacks, monitors_of(callbacks, Known()), config, trainer)


@pytest.mark.parametrize("stopping", STOPPING)
def test_early_stopping_needs_validations(stopping: str) -> None:
    message = r"callbacks\.stop has no effect with only one validation, .* validate_every_n_steps"
    with pytest.raises(ConfigError, match=message):
        check_waiting(stopping)
    for steps in (2, 10):
        with pytest.raises(ConfigError, match="to less than the 2 steps of the run, or leave stop"):
            check_waiting(stopping, f"validate_every_n_steps={steps}")
    check_waiting(stopping, "validate_every_n_steps=1")
    check_waiting(stopping, "trainer.val_check_interval=00:00:01:00")
    check_waiting(stopping, "trainer.val_check_interval=0.5")
    check_waiting(stopping, "trainer.fast_dev_run=true")
    for limit in ("0", "0.0"):
        given = (stopping, "validate_every_n_steps=1", f"trainer.limit_val_batches={limit}")
        with pytest.raises(ConfigError, match=r"callbacks\.stop goes by .* there are none"):
            check_waiting(*given)


def test_early_stopping_at_the_end_of_lightnings_epochs_needs_none() -> None:
    options = ("monitor: train/loss", "check_on_train_epoch_end: true")
    epochs = "trainer.limit_train_batches=1"
    check_waiting(of_lightning("EarlyStopping", *options), "trainer.limit_val_batches=0", epochs)


def test_checkpoints_by_a_metric_that_is_named_need_validations() -> None:
    none = "trainer.limit_val_batches=0"
    named = ("callbacks.checkpoints.monitor=validation/loss", "callbacks.checkpoints.mode=min")
    message = r"callbacks\.checkpoints goes by validation/loss of validations, and with trainer"
    with pytest.raises(ConfigError, match=message):
        check_waiting(none, *named)
    with pytest.raises(ConfigError, match=r"callbacks\.mine goes by validation/loss"):
        check_waiting(none, of_lightning("ModelCheckpoint", "monitor: validation/loss"))
    check_waiting(none)
    check_waiting(none, "callbacks.checkpoints.monitor=null")
    check_waiting(none, of_lightning("ModelCheckpoint", "monitor: train/loss"))


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        ("Timer", "interval: epoch"),
        ("ModelCheckpoint", "every_n_epochs: 2"),
        ("EarlyStopping", "check_on_train_epoch_end: true"),
        ("LearningRateMonitor", "logging_interval: epoch"),
    ],
)
def test_what_waits_for_lightnings_epochs_is_refused_where_the_run_is_one(
    kind: str, given: str
) -> None:
    needed = {"EarlyStopping": "monitor: train/loss", "Timer": "duration: {hours: 1}"}.get(kind)
    mine = of_lightning(kind, given, *([needed] if needed else []))
    key = given.replace(": ", "=")
    for limits in ((), ("trainer.limit_train_batches=1.0",)):
        with pytest.raises(ConfigError, match=rf"callbacks\.mine\.{key} has no effect, because"):
            make_callbacks(configured("a", Path("a"), mine, *limits))
    for limit in ("1", "0.5"):
        make_callbacks(configured("a", Path("a"), mine, f"trainer.limit_train_batches={limit}"))


def test_going_back_needs_checkpoints() -> None:
    back = "divergence.action=rollback"
    make_callbacks(configured("a", Path("a"), back))
    with pytest.raises(ConfigError, match="action=rollback goes back to the last checkpoint, and"):
        make_callbacks(configured("a", Path("a"), back, "callbacks.checkpoints=null"))


def test_a_timer_of_no_time_is_refused() -> None:
    for duration in ("'00:00:00:00'", "{seconds: 0}"):
        with pytest.raises(ConfigError, match=r"callbacks\.mine\.duration is 0"):
            make_callbacks(
                configured("a", Path("a"), of_lightning("Timer", f"duration: {duration}"))
            )
    for duration in ("'00:00:00:01'", "null"):
        make_callbacks(configured("a", Path("a"), of_lightning("Timer", f"duration: {duration}")))
