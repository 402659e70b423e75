"""Keys of Lightning's Trainer that say how a run is computed, shown and written."""

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers.logger import DummyLogger
from pydantic import ValidationError

from clozekit.runs.checkpoint_file import AtomicCheckpointIO
from tests.programs.observed_runs import Run


def test_the_profilers_report_is_printed(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="lightning.pytorch"):
        run("profiled", "max_steps=2", "trainer.profiler=simple")
    assert "Profiler Report" in caplog.text
    assert "run_training_batch" in caplog.text


def test_flags_of_torch_reach_it(run: Run) -> None:
    try:
        run(
            "flags",
            *("trainer.detect_anomaly=true", "+trainer.benchmark=true"),
            *("trainer.deterministic=true", "max_steps=1"),
        )
    finally:
        torch.use_deterministic_algorithms(False)
        torch.backends.cudnn.benchmark = False
    (start,) = run.events("flags", "train starts")
    assert start["anomaly"] and start["benchmark"] and start["deterministic"]
    run("no-flags", "max_steps=1")
    (start,) = run.events("no-flags", "train starts")
    assert not (start["anomaly"] or start["benchmark"] or start["deterministic"])


def test_default_root_dir_is_where_files_go_that_have_no_other_place(run: Run) -> None:
    root = run.folder / "root"
    run(
        "rooted",
        *("logger.csv=null", "max_steps=1", f"+trainer.default_root_dir={root}"),
        "+callbacks.mine._target_=lightning.pytorch.callbacks.ModelCheckpoint",
    )
    assert run.events("rooted", "train starts")[0]["log_dir"] == str(root)
    assert [path.suffix for path in (root / "checkpoints").iterdir()] == [".ckpt"]


def test_the_model_summary_can_be_turned_on(run: Run) -> None:
    run("no-summary", "max_steps=1")
    run("summary", "max_steps=1", "+trainer.enable_model_summary=true")
    shown = [
        "ModelSummary" in " ".join(run.events(name, "train starts")[0]["callbacks"])
        for name in ("no-summary", "summary")
    ]
    assert shown == [False, True]


class OwnLogger(DummyLogger):
    """A logger of a user's that keeps what it is told in a file.

    Args:
        file: The file.
    """

    def __init__(self, file: str) -> None:
        super().__init__()
        self.file = Path(file)

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Appends the names."""
        with self.file.open("a") as file:
            file.write(f"{sorted(params)}\n")


def test_hyperparameters_are_logged_or_not(run: Run) -> None:
    for name, key in (("hparams", []), ("no-hparams", ["+trainer.enable_autolog_hparams=false"])):
        file = run.folder / f"{name}.txt"
        logger = f"{{mine: {{_target_: {__name__}.OwnLogger, file: {file}}}}}"
        run(name, "max_steps=1", f"++logger={logger}", *key)
        assert file.is_file() == (name == "hparams")
    assert "'max_steps'" in (run.folder / "hparams.txt").read_text()


class Normalizer(Callback):
    """Gives the model a layer of batch normalization."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Adds it."""
        pl_module.model.encoder.normalization = torch.nn.BatchNorm1d(4)  # type: ignore[union-attr]


def test_batch_normalization_is_synchronized_between_processes(run: Run) -> None:
    layer = (f"+callbacks.normalizer._target_={__name__}.Normalizer", "max_steps=1")
    processes = ("trainer=ddp_cpu", "trainer.devices=1")
    run("alone", *layer, *processes)
    assert "BatchNorm1d" in run.events("alone", "train starts")[0]["layers"]
    # torch's layer that takes its place needs a GPU.
    try:
        with pytest.raises(ValueError, match="SyncBatchNorm layers only work with GPU modules"):
            run("synchronized", *layer, *processes, "+trainer.sync_batchnorm=true")
    finally:
        torch.distributed.destroy_process_group()


class OwnCheckpointIO(AtomicCheckpointIO):
    """A plugin of a user's."""


def test_plugins_of_the_users_are_used(run: Run) -> None:
    plugin = f"[{{_target_: {__name__}.OwnCheckpointIO}}]"
    run("plugin", f"+trainer.plugins={plugin}", "max_steps=1")
    (start,) = run.events("plugin", "train starts")
    assert start["checkpoint_io"] == "OwnCheckpointIO"


def test_the_progress_bar_can_be_turned_off(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    bar = "callbacks.progress={_target_: clozekit.training.progress_bar.TrainingProgress}"
    run("bar", bar, "max_steps=3")
    assert "validation at step 3" in capsys.readouterr().out
    run("no-bar", bar, "max_steps=3", "+trainer.enable_progress_bar=false")
    assert "validation at step" not in capsys.readouterr().out


@pytest.mark.parametrize(
    "strategy",
    [
        "{_target_: lightning.pytorch.strategies.DDPStrategy, start_method: fork}",
        "{_target_: lightning.pytorch.strategies.ModelParallelStrategy}",
    ],
)
def test_other_strategies_are_refused_by_name(strategy: str, run: Run) -> None:
    with pytest.raises(ValidationError, match=r"trainer\.strategy.* is not supported: "):
        run("refused", f"+trainer.strategy={strategy}")
    assert not (run.folder / "refused").exists()
