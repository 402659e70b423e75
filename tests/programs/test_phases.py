"""A run in two phases of length is one run: exact within and across the change."""

from itertools import chain
from typing import Any

import pytest

from tests.harness.cases import MAX_STEPS
from tests.programs import phased_runs
from tests.programs.forked import results_of
from tests.programs.phased_runs import FIRST_STEPS, MIXED_KILLED_AT, MIXED_SIZES, TASKS

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


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("when", MIXED_KILLED_AT)
def test_a_killed_run_on_a_mixture_equals_one_that_was_not(
    task: str, when: str, results: dict[str, Any]
) -> None:
    result = results["mixed"]["killed"][f"{task} {when}"]
    assert result["codes"] == [-9, 0], result["log"]
    assert result["differences"] == []


def test_a_mixture_in_phases_is_the_same_on_two_processes(results: dict[str, Any]) -> None:
    one, two = results["mixed"]["1 rank"], results["mixed"]["2 ranks"]
    assert one["samples"] == two["samples"]
    assert tuple(map(len, one["samples"])) == MIXED_SIZES
    assert one["losses"] == pytest.approx(two["losses"], rel=1e-9)
    assert one["validations"] == pytest.approx(two["validations"], rel=1e-6)
    assert one["micro_steps"] == [1] * 4 + [2] * 7 + [4] * 3
    assert two["micro_steps"] == [1] * 4 + [2] * 10


def test_an_epoch_begins_only_where_the_length_changes(results: dict[str, Any]) -> None:
    samples = results["mixed"]["1 rank"]["samples"]
    short, long = list(chain(*samples[:11])), list(chain(*samples[11:]))
    assert len(set(map(tuple, short))) == len(short)
    # The corpus of the sea has the third shard. It has begun its second epoch before the change.
    epochs = {
        (phase, is_sea): {epoch for epoch, shard, _ in part if (shard == 2) is is_sea}
        for phase, part in (("short", short), ("long", long))
        for is_sea in (False, True)
    }
    assert epochs["short", False] == {0} and epochs["long", False] == {1}
    assert epochs["short", True] == {0, 1} and epochs["long", True] == {2}


def test_each_step_has_the_weights_of_its_phase(results: dict[str, Any]) -> None:
    samples = results["mixed"]["1 rank"]["samples"]
    of_the_sea = [sum(shard == 2 for _, shard, _ in step) for step in samples]
    assert of_the_sea[:7] == [1] * 4 + [2] * 3
    # Two fifths of 32 samples, in whole ones at every step.
    assert [sum(of_the_sea[7:end]) for end in range(8, 12)] == [3, 6, 10, 13]
    assert of_the_sea[11:] == [2] * 3


def test_validation_is_of_each_source_and_together(results: dict[str, Any]) -> None:
    columns = results["mixed"]["columns"]
    for name in ("loss", "mlm_loss", "mlm_accuracy", "perplexity"):
        for source in ("", "farm/", "sea/"):
            assert f"validation/{source}{name}" in columns
    assert "train/phase" in columns


def test_the_summary_has_the_steps_of_each_phase(results: dict[str, Any]) -> None:
    text = " ".join(results["mixed"]["log"].split())
    assert "phase 1 steps 1 to 4: at most 16 tokens per sample, 4 samples per step" in text
    assert "phase 3 steps 8 to 11: at most 16 tokens" in text and "60.0% farm, 40.0% sea" in text
    assert "batch 4 to 8 samples per step, at most 256 tokens" in text
