"""The schedule of a run that begins at another's checkpoint."""

import pytest

from clozekit.config.schedule import ScheduleConfig, restarted
from clozekit.optim.schedules import learning_rate_factor


def factors(schedule: ScheduleConfig, steps: range, max_steps: int) -> list[float]:
    return [learning_rate_factor(step, schedule, max_steps) for step in steps]


@pytest.mark.parametrize("decay", ["linear", "cosine", "1-sqrt"])
@pytest.mark.parametrize("decay_ratio", [None, 0.2])
def test_the_decay_takes_all_further_steps(decay: str, decay_ratio: float | None) -> None:
    given = ScheduleConfig.model_validate(
        {"decay": decay, "decay_ratio": decay_ratio, "warmup_ratio": 0.5, "min_lr_ratio": 0.1}
    )
    schedule = restarted(given, 40, 60)
    found = factors(schedule, range(40, 61), 60)
    assert found[0] == 1.0 and found[-1] == pytest.approx(0.1)
    assert found == sorted(found, reverse=True) and found[1] < 1.0


def test_steps_of_the_decay_are_kept() -> None:
    schedule = restarted(ScheduleConfig(decay_steps=5), 40, 60)
    assert factors(schedule, range(40, 57), 60)[:16] == [1.0] * 16
    assert factors(schedule, range(56, 57), 60)[0] < 1.0


def test_a_constant_rate_stays_and_is_not_warmed_up_again() -> None:
    schedule = restarted(ScheduleConfig(decay="constant", warmup_steps=50), 40, 60)
    assert factors(schedule, range(40, 60), 60) == [1.0] * 20
    assert restarted(schedule, 40, 60) == schedule


def test_more_steps_than_there_are_is_refused() -> None:
    with pytest.raises(ValueError, match="decay_steps=21 is more than the 20 steps from step 40"):
        restarted(ScheduleConfig(decay_steps=21), 40, 60)
