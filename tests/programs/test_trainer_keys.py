"""Keys of Lightning's Trainer that say what is trained and validated; a batch is a step."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, Trainer

from clozekit.runs.checkpoint_file import load_checkpoint
from tests.programs.commands import read_rows
from tests.programs.observed_runs import Run, assert_equal_weights, steps

SLOW = (
    "+callbacks.slow._target_=tests.programs.slow_steps.SlowSteps",
    "+callbacks.slow.seconds=1.1",
)


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
    every = ("trainer.limit_val_batches=1.0", "trainer.num_sanity_val_steps=0")
    run("all-batches", "max_steps=1", *every)
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
    ("interval", "expected"), [("2", [2, 4, 6]), ("4", [4, 6]), ("{seconds: 1}", [1, 2])]
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
        *(SLOW if "seconds" in interval else ()),
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


@pytest.mark.parametrize("number", ["true", "2"])
def test_fast_dev_run_tries_everything_and_leaves_nothing(number: str, run: Run) -> None:
    name = f"tried-{number}"
    run(name, f"trainer.fast_dev_run={number}", "max_steps=50")
    count = 1 if number == "true" else int(number)
    assert len(run.events(name, "step")) == count
    assert len(run.events(name, "validation batch")) == count
    assert not (run.folder / name).exists()


class Impatient(Callback):
    """Asks for the end of training after the first step, as early stopping does."""

    def on_train_batch_end(self, trainer: Trainer, *arguments: Any, **options: Any) -> None:
        trainer.should_stop = True


def test_min_steps_are_trained_whoever_asks_for_the_end(run: Run) -> None:
    impatient = f"+callbacks.impatient._target_={__name__}.Impatient"
    assert steps(run("impatient", impatient, "validate_every_n_steps=null")) == [1]
    assert steps(run("patient", impatient, "+trainer.min_steps=4")) == [1, 2, 3, 4]


def test_loaders_are_made_again_every_so_many_epochs(run: Run, plain: Path) -> None:
    for number in (0, 1, 2):
        reload = f"+trainer.reload_dataloaders_every_n_epochs={number}"
        folder = run(f"reload-{number}", "trainer.limit_train_batches=2", reload, "max_steps=8")
        loaders = [event["loader"] for event in run.events(f"reload-{number}", "epoch starts")]
        changes = [one != other for one, other in pairwise(loaders)]
        assert changes == {0: [False] * 3, 1: [True] * 3, 2: [False, True, False]}[number]
        assert_equal_weights(folder, plain)


@pytest.fixture(scope="module")
def labelled(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """The overrides of a classification run of one step with 48 rows to test on."""
    file = tmp_path_factory.mktemp("labelled") / "rows.csv"
    rows = [f"the {word} is here,{number % 2}" for number, word in enumerate("abcdefghijkl" * 4)]
    file.write_text("\n".join(["text,label", *rows]))
    return (
        *("task=classification", "data=classification", "~data.path", "max_steps=1"),
        *(f"data.{split}={file}" for split in ("train", "validation", "test")),
        f"data.tokenizer={corpus / 'tokenizer.json'}",
    )


def test_limit_test_batches_takes_so_many_or_a_share_or_none(
    run: Run, labelled: tuple[str, ...]
) -> None:
    numbers = {}
    for limit in ("1.0", "2", "0.5", "0"):
        run(f"test-{limit}", *labelled, f"+trainer.limit_test_batches={limit}")
        numbers[limit] = len(run.events(f"test-{limit}", "test batch"))
    assert numbers == {"1.0": 12, "2": 2, "0.5": 6, "0": 0}


def test_evaluation_uses_inference_mode_or_not(run: Run, labelled: tuple[str, ...]) -> None:
    for mode in (True, False):
        run(f"inference-{mode}", *labelled, f"+trainer.inference_mode={mode}")
        modes = {event["inference"] for event in run.events(f"inference-{mode}", "test batch")}
        assert modes == {mode}
