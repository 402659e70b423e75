"""The learning rate's course."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clozekit.config.train import ScheduleConfig
from clozekit.optim.schedules import learning_rate_factor

max_steps = st.integers(1, 2_000)
schedules = st.builds(
    ScheduleConfig,
    decay=st.sampled_from(["linear", "cosine", "constant"]),
    warmup_steps=st.none() | st.integers(0, 3_000),
    warmup_ratio=st.floats(0, 1),
    min_lr_ratio=st.floats(0, 1),
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
    warmup = schedule.num_warmup_steps(length)
    if warmup > length - 50:
        return
    factors = [learning_rate_factor(step, schedule, length) for step in range(warmup, length + 1)]
    largest = max(before - after for before, after in pairwise(factors))
    # A cosine falls at most pi / 2 times as fast as a line.
    assert largest <= 1.5708 / (length - warmup) + 1e-12


def test_the_steps_of_a_warmup_are_given_or_a_share() -> None:
    assert ScheduleConfig(warmup_ratio=0.1).num_warmup_steps(1_000) == 100
    assert ScheduleConfig(warmup_ratio=0.1, warmup_steps=7).num_warmup_steps(1_000) == 7
    assert ScheduleConfig(warmup_ratio=0.1, warmup_steps=0).num_warmup_steps(1_000) == 0


def test_half_way_both_decays_are_at_half() -> None:
    for decay in ("linear", "cosine"):
        schedule = ScheduleConfig.model_validate({"decay": decay, "min_lr_ratio": 0.2})
        assert learning_rate_factor(50, schedule, 100) == pytest.approx(0.6)
