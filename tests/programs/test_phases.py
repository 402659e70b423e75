"""A run in two phases of length is one run: exact within and across the change."""

from typing import Any

import pytest

from tests.harness.cases import MAX_STEPS
from tests.programs import phased_runs
from tests.programs.forked import results_of
from tests.programs.phased_runs import FIRST_STEPS, TASKS

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return results_of(phased_runs.__name__, tmp_path_factory.mktemp("phases"))


@pytest.mark.parametrize(
    ("task", "when"), [(task, when) for task, moments in TASKS.items() for when in moments]
)
def test_a_killed_run_equals_one_that_was_not(
    task: str, when: str, results: dict[str, Any]
) -> None:
    result = results["killed"][task][when]
    assert result["codes"] == [-9, 0], result["log"]
    assert result["differences"] == []


def test_each_phase_has_micro_batches_of_its_own(results: dict[str, Any]) -> None:
    expected = {"at once": (1, 1), "1 and 4": (1, 4), "4 and 2": (4, 2), "2 ranks": (1, 2)}
    for shape, (first, last) in expected.items():
        run = results["shared out"][shape]
        assert run["micro_steps"] == [first] * FIRST_STEPS + [last] * (MAX_STEPS - FIRST_STEPS)
        assert run["optimizer_steps"] == MAX_STEPS


@pytest.mark.parametrize("shape", ["1 and 4", "4 and 2", "2 ranks", "1 rank, then 2"])
def test_samples_and_losses_are_the_same_however_it_is_shared_out(
    shape: str, results: dict[str, Any]
) -> None:
    whole, shared = results["shared out"]["at once"], results["shared out"][shape]
    assert [len(step) for step in shared["samples"]] == [8] * MAX_STEPS
    assert shared["samples"] == whole["samples"]
    # A gradient that was not cleared, or was divided by another number, shows in the next loss.
    assert shared["losses"] == pytest.approx(whole["losses"], rel=1e-9)
    assert list(shared["validations"]) == list(whole["validations"]) == ["6", "12", "14"]
    assert shared["validations"] == pytest.approx(whole["validations"], rel=1e-6)


def test_the_second_phase_begins_with_an_epoch(results: dict[str, Any]) -> None:
    samples = results["shared out"]["at once"]["samples"]
    epochs = [{epoch for epoch, _, _ in step} for step in samples]
    assert max(epochs[FIRST_STEPS - 1]) + 1 == min(epochs[FIRST_STEPS])
    of_its_epoch = [
        tuple(sample)
        for step in samples[FIRST_STEPS:]
        for sample in step
        if sample[0] == min(epochs[FIRST_STEPS])
    ]
    assert len(of_its_epoch) == len(set(of_its_epoch)) > 8


def test_a_longer_run_has_its_phases_by_the_new_length(results: dict[str, Any]) -> None:
    longer = results["longer"]
    assert longer["codes"] == [0, 0]
    # Of six steps, then of fourteen from there on.
    assert longer["micro_steps"] == [2] * 3 + [4] * 3 + [2] * 1 + [4] * 7
    epochs = [{epoch for epoch, _, _ in step} for step in longer["samples"]]
    for change in (3, 6, 7):
        assert max(epochs[change - 1]) < min(epochs[change])
