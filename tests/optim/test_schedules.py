"""The learning rate's course."""

import math
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clozekit.config.schedule import ScheduleConfig, UserScheduleConfig, too_long
from clozekit.errors import ConfigError
from clozekit.optim.schedules import learning_rate_factor, make_schedule

max_steps = st.integers(1, 2_000)
DECAYS = ["linear", "cosine", "1-sqrt"]
warmups: dict[str, st.SearchStrategy[Any]] = {
    "warmup_steps": st.none() | st.integers(0, 3_000),
    "warmup_ratio": st.floats(0, 0.5),
    "min_lr_ratio": st.floats(0, 1),
}
schedules = st.builds(
    ScheduleConfig, decay=st.sampled_from([*DECAYS, "constant"]), **warmups
) | st.builds(
    ScheduleConfig,
    decay=st.sampled_from(DECAYS),
    decay_steps=st.none() | st.integers(1, 3_000),
    decay_ratio=st.floats(0.001, 0.5),
    **warmups,
)


@given(schedules, max_steps, st.integers(0, 5_000))
def test_the_factor_stays_in_its_bounds(schedule: ScheduleConfig, length: int, step: int) -> None:
    factor = learning_rate_factor(step, schedule, length)
    assert 0 <= factor <= 1
    if step >= schedule.num_warmup_steps(length):
        assert factor >= schedule.min_lr_ratio - 1e-12


@given(schedules, max_steps)
def test_the_warmup_rises_in_equal_steps_to_the_peak(schedule: ScheduleConfig, length: int) -> None:
    warmup = schedule.num_warmup_steps(length)
    factors = [learning_rate_factor(step, schedule, length) for step in range(warmup)]
    factors.append(1.0 if warmup >= length else learning_rate_factor(warmup, schedule, length))
    assert factors[0] > 0
    assert factors[-1] == pytest.approx(1.0)
    for before, after in pairwise(factors):
        assert after - before == pytest.approx(1 / (warmup + 1))


@given(schedules, max_steps)
def test_the_decay_never_rises_and_ends_where_it_should(
    schedule: ScheduleConfig, length: int
) -> None:
    warmup = schedule.num_warmup_steps(length)
    last = max(length, warmup)
    factors = [learning_rate_factor(step, schedule, length) for step in range(warmup, last + 3)]
    assert all(after <= before for before, after in pairwise(factors))
    end = 1.0 if schedule.decay == "constant" else schedule.min_lr_ratio
    if length > warmup:
        assert factors[-1] == factors[-3] == pytest.approx(end)


@given(schedules, st.integers(100, 2_000))
def test_neighbouring_steps_are_near_each_other(schedule: ScheduleConfig, length: int) -> None:
    first = schedule.first_decay_step(length)
    if first > length - 50 or schedule.decay == "1-sqrt":
        return  # A square root begins steeply.
    factors = [learning_rate_factor(step, schedule, length) for step in range(first, length + 1)]
    largest = max(before - after for before, after in pairwise(factors))
    # A cosine falls at most pi / 2 times as fast as a line.
    assert largest <= 1.5708 / (length - first) + 1e-12


def test_the_steps_of_a_warmup_are_given_or_a_share() -> None:
    assert ScheduleConfig(warmup_ratio=0.1).num_warmup_steps(1_000) == 100
    assert ScheduleConfig(warmup_ratio=0.1, warmup_steps=7).num_warmup_steps(1_000) == 7
    assert ScheduleConfig(warmup_ratio=0.1, warmup_steps=0).num_warmup_steps(1_000) == 0


def test_half_way_both_decays_are_at_half() -> None:
    for decay in ("linear", "cosine"):
        schedule = ScheduleConfig.model_validate({"decay": decay, "min_lr_ratio": 0.2})
        assert learning_rate_factor(50, schedule, 100) == pytest.approx(0.6)


def halves(step: int, max_steps: int, every: int) -> float:
    return 0.5 ** (step // every)


class Rises:
    def __init__(self, max_steps: int, warmup_steps: int | None = None) -> None:
        self.max_steps, self.warmup_steps = max_steps, warmup_steps

    def __call__(self, step: int) -> float:
        return step / self.max_steps


def negative(step: int, max_steps: int) -> float:
    return -1.0


def outside(step: int, max_steps: int, value: float, at: int) -> float:
    return value if step == at else 1.0


def users(name: str, **more: object) -> UserScheduleConfig:
    target = f"{__name__}.{name}"
    return UserScheduleConfig.model_validate({"_target_": target, "decay": "cosine", **more})


def test_a_function_and_a_class_of_the_users() -> None:
    assert make_schedule(users("halves", every=10), 100)(25) == 0.25
    assert make_schedule(users("Rises", warmup_steps=3), 100)(25) == 0.25


def test_ours_is_the_function() -> None:
    schedule = ScheduleConfig(warmup_ratio=0.1)
    assert make_schedule(schedule, 100)(50) == learning_rate_factor(50, schedule, 100)


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        (users("halves"), r"schedule \(.*halves\): missing a required argument: 'every'"),
        (users("Rises", speed=1), "unexpected keyword argument 'speed'"),
        (users("nowhere"), r"schedule\._target_=.*nowhere: "),
        (users("negative"), "returned -1.0 at step 0; it must return a number of at least 0"),
    ],
)
def test_what_is_no_schedule_is_refused(schedule: UserScheduleConfig, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        make_schedule(schedule, 100)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf])
def test_a_factor_that_cannot_be_is_refused_at_its_step(value: float) -> None:
    factor = make_schedule(users("outside", value=value, at=40), 100)
    assert [factor(39), factor(41)] == [1.0, 1.0]
    told = rf"^schedule \(.*outside\) returned {value} at step 40; it must return a number"
    with pytest.raises(ConfigError, match=told):
        factor(40)


def test_a_stable_rate_lies_between_warmup_and_decay() -> None:
    schedule = ScheduleConfig(decay="1-sqrt", warmup_ratio=0.1, decay_ratio=0.25)
    factors = [learning_rate_factor(step, schedule, 100) for step in range(101)]
    assert factors[10:76] == [1.0] * 66
    assert factors[76] == pytest.approx(1 - (1 / 25) ** 0.5)
    assert factors[100] == 0.0
    fixed = ScheduleConfig(decay="linear", decay_steps=10, min_lr_ratio=0.5)
    rates = [learning_rate_factor(step, fixed, 100) for step in (0, 90, 95, 100)]
    assert rates == [1, 1, 0.75, 0.5]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"decay": "constant", "decay_ratio": 0.2}, "decay_ratio=0.2 has no effect"),
        ({"decay": "constant", "decay_steps": 2}, "decay_steps=2 has no effect"),
        ({"warmup_ratio": 0.6, "decay_ratio": 0.5}, "are more than 1 together"),
        ({"decay_ratio": 0.0}, "greater than 0"),
    ],
)
def test_a_decay_that_cannot_be_is_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ScheduleConfig.model_validate(values)


@pytest.mark.parametrize(
    ("keys", "max_steps", "message"),
    [
        ({"warmup_steps": 100}, 20, "warmup_steps=100 is not less than the 20 steps of the run"),
        ({"decay_steps": 100}, 20, "decay_steps=100 is more than the 20 steps after the warmup"),
        ({"decay_steps": 15, "warmup_steps": 6}, 20, "is more than the 14 steps after the warmup"),
        ({"decay_steps": 20}, 20, None),
        ({"warmup_steps": 19}, 20, None),
        ({"warmup_ratio": 1.0}, 20, None),
    ],
)
def test_a_run_that_is_too_short_for_its_schedule_is_told(
    keys: dict[str, Any], max_steps: int, message: str | None
) -> None:
    told = too_long(ScheduleConfig.model_validate(keys), max_steps)
    assert told is None if message is None else told is not None and message in told
