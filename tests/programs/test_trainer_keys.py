"""What Lightning's keys and callbacks do to a run; a batch of Lightning is an optimizer step."""

import csv
from pathlib import Path
from typing import Any

import pytest
import torch

from clozekit.errors import ConfigError
from clozekit.runs.checkpoint_file import AtomicCheckpointIO, load_checkpoint
from clozekit.train import train
from tests.programs.commands import QUIET, TINY, read_rows, run_clozekit, train_config
from tests.programs.observer import events


class Run:
    """A run in this process.

    Args:
        corpus: The prepared corpus.
        folder: Where runs lie.
    """

    def __init__(self, corpus: Path, folder: Path) -> None:
        self.corpus = corpus
        self.folder = folder

    def __call__(self, name: str, *overrides: str) -> Path:
        settings = {
            "max_steps": "6",
            "global_batch_size": "8",
            "micro_batch_size": "4",
            "validate_every_n_steps": "3",
            "trainer.log_every_n_steps": "1",
        }
        given = {override.split("=")[0] for override in overrides}
        train(
            train_config(
                f"name={name}",
                f"data.path={self.corpus}",
                f"runs_dir={self.folder}",
                *TINY,
                *QUIET,
                *(f"{key}={value}" for key, value in settings.items() if key not in given),
                "+callbacks.observer._target_=tests.programs.observer.Observer",
                f"+callbacks.observer.file={self.events_file(name)}",
                *overrides,
            )
        )
        return self.folder / name

    def events_file(self, name: str) -> Path:
        return self.folder / f"{name}.jsonl"

    def events(self, name: str, kind: str) -> list[dict[str, Any]]:
        return events(self.events_file(name), kind)


@pytest.fixture(scope="module")
def run(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return Run(corpus, tmp_path_factory.mktemp("keys"))


@pytest.fixture(scope="module")
def plain(run: Run) -> Path:
    """The folder of a run of 8 steps without any of these keys."""
    return run("plain", "max_steps=8")


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_checkpoint(folder / "checkpoints" / "last.ckpt").state_dict


def assert_equal_weights(one: Path, other: Path) -> None:
    ours, theirs = weights(one), weights(other)
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        assert torch.equal(tensor, theirs[name]), name


def steps(folder: Path, column: str = "train/loss") -> list[int]:
    return [int(row["step"]) for row in read_rows(folder / "metrics.csv") if row[column]]


def test_limit_train_batches_ends_lightnings_epochs_and_repeats_nothing(
    run: Run, plain: Path
) -> None:
    limited = run("limited", "trainer.limit_train_batches=3", "max_steps=8")
    assert steps(limited) == list(range(1, 9))
    assert [event["step"] for event in run.events("limited", "epoch starts")] == [0, 3, 6]
    assert_equal_weights(limited, plain)
    checkpoint = torch.load(limited / "checkpoints" / "last.ckpt", weights_only=True)
    assert checkpoint["global_step"] == 8
    assert checkpoint["PretrainingDataModule"]["position"]["step"] == 8


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_run_with_limited_epochs_goes_on_within_one(
    num_workers: int, run: Run, plain: Path
) -> None:
    name = f"limited-{num_workers}"
    options = ("trainer.limit_train_batches=3", f"data.num_workers={num_workers}", "resume=auto")
    options += ("schedule=constant",)
    run(name, *options, "max_steps=4")
    folder = run(name, *options, "max_steps=8")
    assert steps(folder) == list(range(1, 9))
    whole = run(f"whole-{num_workers}", "schedule=constant", "max_steps=8")
    assert_equal_weights(folder, whole)
    rows, expected = (read_rows(f / "metrics.csv") for f in (folder, whole))
    assert [row["train/loss"] for row in rows if row["train/loss"]] == [
        row["train/loss"] for row in expected if row["train/loss"]
    ]


def test_a_share_of_an_epoch_makes_epochs_shorter(run: Run) -> None:
    whole = run("epoch", "max_steps=null", "max_epochs=1", "global_batch_size=64")
    half = run(
        "half-epoch",
        "max_steps=null",
        "max_epochs=1",
        "global_batch_size=64",
        "trainer.limit_train_batches=0.5",
    )
    assert abs(2 * len(steps(half)) - len(steps(whole))) <= 2


def test_limit_val_batches_takes_so_many_or_a_share_or_none(run: Run) -> None:
    run("all-batches", "max_steps=1", "trainer.num_sanity_val_steps=0")
    number = len(run.events("all-batches", "validation batch"))
    assert number > 2
    run("two-batches", "max_steps=1", "trainer.limit_val_batches=2")
    assert len(run.events("two-batches", "validation batch")) == 2
    run("half-batches", "max_steps=1", "trainer.limit_val_batches=0.5")
    assert len(run.events("half-batches", "validation batch")) == number // 2
    folder = run("no-batches", "max_steps=1", "trainer.limit_val_batches=0")
    assert run.events("no-batches", "validation batch") == []
    assert (folder / "results.json").is_file()


def test_overfit_batches_repeats_the_first_steps(run: Run, plain: Path) -> None:
    run("overfit", "trainer.overfit_batches=2", "max_steps=5")
    seen = [(e["samples"], e["ids"]) for e in run.events("overfit", "step")]
    expected = [(e["samples"], e["ids"]) for e in run.events("plain", "step")]
    assert seen == [expected[i % 2] for i in range(5)]
    assert len(run.events("overfit", "validation batch")) == 4  # two at each of two validations


def test_an_overfitting_run_goes_on_where_it_was(run: Run) -> None:
    options = ("trainer.overfit_batches=3", "schedule=constant", "resume=auto")
    run("overfit-parts", *options, "max_steps=4")
    parts = run("overfit-parts", *options, "max_steps=7")
    whole = run("overfit-whole", *options, "max_steps=7")
    assert_equal_weights(parts, whole)


@pytest.mark.parametrize(
    ("interval", "expected"), [("2", [2, 4, 6]), ("4", [4, 6]), ("{seconds: 0}", [1, 2, 3])]
)
def test_val_check_interval_is_lightnings_key_of_the_same(
    interval: str, expected: list[int], run: Run
) -> None:
    name = f"interval-{expected[0]}"
    folder = run(
        name,
        f"max_steps={expected[-1]}",
        "validate_every_n_steps=null",
        f"trainer.val_check_interval={interval}",
    )
    assert steps(folder, "validation/loss") == expected


def test_val_check_interval_takes_a_share_of_an_epoch(run: Run) -> None:
    folder = run(
        "interval-share",
        "max_steps=null",
        "max_epochs=1",
        "global_batch_size=64",
        "validate_every_n_steps=null",
        "trainer.val_check_interval=0.5",
    )
    number, validated = len(steps(folder)), steps(folder, "validation/loss")
    assert validated[0] == pytest.approx(number / 2, abs=1)


def test_one_evaluation_comes_before_training_and_changes_nothing(run: Run, plain: Path) -> None:
    assert len(run.events("plain", "sanity batch")) == 1
    without = run("no-sanity", "trainer.num_sanity_val_steps=0", "max_steps=8")
    assert run.events("no-sanity", "sanity batch") == []
    assert_equal_weights(without, plain)
    assert read_rows(without / "metrics.csv") == read_rows(plain / "metrics.csv")


def test_max_time_ends_a_run_with_its_results(run: Run) -> None:
    folder = run(
        "timed",
        "max_steps=100000",
        "trainer.max_time={seconds: 2}",
        "trainer.log_every_n_steps=50",
        "validate_every_n_steps=null",
    )
    checkpoint = load_checkpoint(folder / "checkpoints" / "last.ckpt")
    assert 0 < checkpoint.step < 100000
    assert steps(folder, "validation/loss") == [checkpoint.step]
    assert (folder / "results.json").is_file()


def test_the_profilers_report_is_printed(corpus: Path, tmp_path: Path) -> None:
    finished = run_clozekit(
        "train",
        "name=profiled",
        f"data.path={corpus}",
        *TINY,
        *QUIET,
        "max_steps=2",
        "trainer.profiler=simple",
        cwd=tmp_path,
    )
    assert finished.returncode == 0, finished.stderr
    printed = finished.stdout + finished.stderr
    assert "Profiler Report" in printed
    assert "run_training_batch" in printed


def test_flags_of_torch_reach_it(run: Run) -> None:
    run("flags", "trainer.detect_anomaly=true", "+trainer.benchmark=true", "max_steps=1")
    (start,) = run.events("flags", "train starts")
    assert start["anomaly"] and start["benchmark"]
    run("no-flags", "max_steps=1")
    assert not run.events("no-flags", "train starts")[0]["anomaly"]


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


@pytest.mark.parametrize("number", ["true", "2"])
def test_fast_dev_run_tries_everything_and_leaves_nothing(number: str, run: Run) -> None:
    name = f"tried-{number}"
    run(name, f"trainer.fast_dev_run={number}", "max_steps=50")
    count = 1 if number == "true" else int(number)
    assert len(run.events(name, "step")) == count
    assert len(run.events(name, "validation batch")) == count
    assert not (run.folder / name).exists()


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


def test_checkpoints_by_the_clock_are_those_of_clozekit(run: Run) -> None:
    """Under manual optimization Lightning's own leave this key out."""
    given = (
        "{_target_: lightning.pytorch.callbacks.ModelCheckpoint, "
        "train_time_interval: {_target_: datetime.timedelta, minutes: 1}}"
    )
    with pytest.raises(ConfigError, match="every_n_minutes"):
        run("refused", f"+callbacks.mine={given}")


@pytest.mark.parametrize(
    "strategy",
    [
        "{_target_: lightning.pytorch.strategies.DDPStrategy, start_method: fork}",
        "{_target_: lightning.pytorch.strategies.ModelParallelStrategy}",
    ],
)
def test_other_strategies_are_refused_by_name(strategy: str, run: Run) -> None:
    with pytest.raises(ConfigError, match=r"trainer"):
        run("refused", f"+trainer.strategy={strategy}")
    assert not (run.folder / "refused").exists()
