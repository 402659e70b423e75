"""The time of a run by its number of steps: all its validations and checkpoints count."""

from pathlib import Path

import pytest

from clozekit.data.pretraining.pair_datamodule import PretrainingDataModule
from clozekit.training.cost import Cost, steps_of_budget
from clozekit.training.measuring import Measured
from tests.programs.commands import TINY, train_config

MEASURED = Measured(
    step=(1.0,),
    warm_up=0.0,
    validation=30.0,
    checkpoint=3.0,
    checkpoint_bytes=1000,
    start=1.0,
    peak_bytes=10**6,
    total=0.0,
)


def cost(corpus: Path, *overrides: str, first_step: int = 0) -> Cost:
    config = train_config("name=a", f"data.path={corpus}", *TINY, "max_steps=9", *overrides)
    data = PretrainingDataModule(
        path=corpus, seed=0, global_batch_size=8, micro_batch_size=8, max_seq_length=48
    )
    return Cost(MEASURED, config, data, first_step)


TEN_MINUTES = "trainer.val_check_interval=00:00:10:00"


@pytest.mark.parametrize(
    ("overrides", "events"),
    [
        (("validate_every_n_steps=600",), (6, 6 + 7 + 1)),
        # The last one comes after the last step; 7 saves take 21 s.
        ((TEN_MINUTES,), (7, 7 + 7 + 1)),
        (("trainer.val_check_interval={minutes: 10}",), (7, 7 + 7 + 1)),
        # No more than there are steps.
        (("trainer.val_check_interval={seconds: 1}",), (3601, 3601 + 7 + 1)),
        # In 3600 s of steps, 21 s of saves and 30 s of validation, and not only by steps.
        (("callbacks.checkpoints.every_n_minutes=5",), (1, 12 + 1 + 7 + 1)),
        (("callbacks.checkpoints.every_n_minutes=0.01",), (1, 3600 + 1 + 7 + 1)),
        (("callbacks=[]",), (1, 2)),
    ],
)
def test_validations_and_saves_at_intervals_of_time_count(
    overrides: tuple[str, ...], events: tuple[int, int], corpus: Path
) -> None:
    assert cost(corpus, *overrides).events(3600) == events


def test_a_continued_run_has_those_of_its_own_steps(corpus: Path) -> None:
    one_save = ("callbacks.checkpoints.every_n_steps=null", TEN_MINUTES)
    assert cost(corpus, *one_save, first_step=3000).events(3650) == (2, 3)


def test_a_budget_leaves_time_for_validations_at_intervals_of_time(corpus: Path) -> None:
    asked = cost(corpus, TEN_MINUTES)
    steps = steps_of_budget(asked, 3600)
    validations, saves = asked.events(steps)
    assert validations == 6
    assert 3595 < 1 + steps + 30 * validations + 3 * saves <= 3600
