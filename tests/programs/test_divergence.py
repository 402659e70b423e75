"""Steps that diverge stop a run, or take it back to its last checkpoint: both exactly."""

from typing import Any

import pytest

from tests.programs import diverged_runs
from tests.programs.diverged_runs import SCENARIOS
from tests.programs.forked import results_of

pytestmark = pytest.mark.slow

BACK_AT_9 = [s for s, (_, _, _, reference) in SCENARIOS.items() if reference == "rolled back"]
KILLED_AND_INTERRUPTED = [s for s in BACK_AT_9 if s != "rolled back"] + [
    "large on a rank and killed"
]


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return results_of(diverged_runs.__name__, tmp_path_factory.mktemp("diverged"))


def steps_rolled_back(result: dict[str, Any]) -> list[int]:
    return [int(row["step"]) for row in result["history"] if row.get("train/rollbacks")]


def test_a_run_that_diverges_is_stopped_with_the_samples_named(results: dict[str, Any]) -> None:
    result = results["stopped"]
    assert result["codes"][0] == [1]
    assert "NonFiniteLossError: the loss is not finite at step 10; the samples" in result["log"]


def test_a_stopped_run_goes_on_once_the_cause_is_gone(results: dict[str, Any]) -> None:
    # The step that diverged has changed nothing; only its own loss was another.
    assert results["stopped"]["codes"][1] == [0]
    assert "resumed at step 8 from" in results["stopped"]["log"]
    assert results["stopped"]["differences"] == ["loss"]


@pytest.mark.parametrize("scenario", BACK_AT_9)
def test_a_rollback_is_told_and_logged(scenario: str, results: dict[str, Any]) -> None:
    result = results[scenario]
    assert "the loss is not finite at step 10;" in result["log"]
    assert "; rolled back to the weights of step 8\n" in result["log"]
    assert steps_rolled_back(result) == [10]


def test_a_rollback_goes_to_the_last_checkpoints_weights(results: dict[str, Any]) -> None:
    assert "equal to step 8: True\n" in results["rolled back"]["log"]
    assert "equal to step 8: False\n" in results["healthy"]["log"]


def test_a_rollback_skips_the_window_and_goes_on_with_the_data(results: dict[str, Any]) -> None:
    rows = [row for row in results["rolled back"]["history"] if row["train/loss"]]
    healthy = [row for row in results["healthy"]["history"] if row["train/loss"]]
    assert [row["step"] for row in rows] == [row["step"] for row in healthy]
    assert [row["train/loss"] for row in rows[:9]] == [row["train/loss"] for row in healthy[:9]]
    assert rows[9]["train/loss"] == "nan"
    for row, other in zip(rows[10:], healthy[10:], strict=True):
        assert row["train/loss"] != other["train/loss"]
        assert row["train/learning_rate"] == other["train/learning_rate"]
        assert row["train/random_pairs"] == other["train/random_pairs"]


@pytest.mark.parametrize("scenario", KILLED_AND_INTERRUPTED)
def test_a_rollback_and_a_resumption_do_not_meet(scenario: str, results: dict[str, Any]) -> None:
    first, last = results[scenario]["codes"]
    assert first[0] == (75 if scenario.startswith("interrupted") else -9)
    assert set(last) == {0}
    assert results[scenario]["differences"] == []


def test_a_large_loss_on_one_rank_takes_all_ranks_back(results: dict[str, Any]) -> None:
    result = results["large on a rank"]
    assert result["codes"] == [[0, 0]]
    assert (
        "more than divergence.max_loss=50.0; rolled back to the weights of step 4" in result["log"]
    )
    assert steps_rolled_back(result) == [6, 10]
    counts = [row["train/rollbacks"] for row in result["history"] if row["train/rollbacks"]]
    assert counts == ["1.0", "2.0"]


def test_a_large_gradient_is_a_divergence_too(results: dict[str, Any]) -> None:
    result = results["large gradient"]
    assert result["codes"] == [[0]]
    assert (
        "at step 10, more than divergence.max_grad_norm=100.0; rolled back to the weights"
        in result["log"]
    )
    assert steps_rolled_back(result) == [10]


def test_a_rollback_needs_a_checkpoint(results: dict[str, Any]) -> None:
    assert results["no checkpoint"]["codes"] == [[1]]
    assert "; there is no checkpoint to roll back to" in results["no checkpoint"]["log"]


def test_rollbacks_are_counted_over_resumptions(results: dict[str, Any]) -> None:
    result = results["too many"]
    assert result["codes"] == [[-9], [1]]
    assert "; divergence.max_rollbacks=1 is reached" in result["log"]
    assert steps_rolled_back(result) == [6]
