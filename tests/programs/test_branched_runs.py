"""A cooled run and a run with a budget are killed and continued exactly."""

from typing import Any

import pytest

from tests.programs import branched_runs
from tests.programs.branched_runs import BUDGET_STEPS
from tests.programs.forked import results_of

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return results_of(branched_runs.__name__, tmp_path_factory.mktemp("branched"))


@pytest.mark.parametrize("name", ["killed1-6", "killed1-9", "killed2-6", "killed2-9"])
def test_a_cooled_run_that_was_killed_equals_one_that_was_not(
    name: str, results: dict[str, Any]
) -> None:
    result = results["cooled"][name]
    ranks = len(result["codes"]) // 2
    assert -9 in result["codes"][:ranks] and set(result["codes"][ranks:]) == {0}, result["log"]
    assert result["differences"] == [], result["log"]


@pytest.mark.parametrize("ranks", [1, 2])
@pytest.mark.parametrize("kind", ["", "-killed", "-at-once"])
def test_a_run_with_a_budget_equals_one_with_its_steps(
    kind: str, ranks: int, results: dict[str, Any]
) -> None:
    result = results["budget"][f"budget{ranks}{kind}"]
    assert set(result["codes"]) == {0}, result["log"]
    assert result["fixed"] == {"budget": "20s", "max_steps": BUDGET_STEPS}
    # The Recorder of the tests is a callback, and steps are measured without callbacks.
    assert result["differences"] == [], result["log"]
