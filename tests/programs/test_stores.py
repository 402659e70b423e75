"""Training from a store equals local training, also through kills and failing requests."""

from typing import Any

import pytest

from tests.programs import stored_runs
from tests.programs.forked import results_of

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return results_of(stored_runs.__name__, tmp_path_factory.mktemp("stored"))


def test_two_ranks_with_workers_train_from_a_small_cache_as_from_a_folder(
    results: dict[str, Any],
) -> None:
    result = results["on_s3"]
    assert results["num_shards"] == 12
    assert result["codes"] == [0, 0], result["log"]
    assert result["differences"] == []


def test_a_machine_fetches_each_shard_once_an_epoch_in_the_order_of_training(
    results: dict[str, Any],
) -> None:
    fetched, (first, second) = results["on_s3"]["fetched"], results["on_s3"]["order"]
    assert fetched[: len(first)] == first
    assert fetched[len(first) :] == second[: len(fetched) - len(first)]


def test_the_cache_keeps_its_limit(results: dict[str, Any]) -> None:
    assert 0 < results["on_s3"]["cache"]["bytes"] <= 4 * results["largest"]


def test_a_killed_run_goes_on_with_an_empty_cache_and_failing_requests(
    results: dict[str, Any],
) -> None:
    result = results["killed"]
    assert result["killed"]
    assert result["resumed"] == [0], result["log"]
    assert result["differences"] == []


def test_a_resumed_run_fetches_only_the_shards_from_the_one_at_hand_on(
    results: dict[str, Any],
) -> None:
    fetched, (first, second) = results["killed"]["fetched"], results["killed"]["order"]
    order = [*first, *second]
    begin = order.index(fetched[0])
    assert begin > 4
    # Each is fetched twice: the first time with another byte.
    distinct = list(dict.fromkeys(fetched))
    assert distinct == list(dict.fromkeys(order[begin : begin + len(distinct)]))


def test_a_run_begun_in_a_folder_goes_on_from_a_store(results: dict[str, Any]) -> None:
    result = results["from_local_to_store"]
    assert result["killed"] and result["resumed"] == [0]
    assert result["differences"] == []


def test_a_killed_run_goes_on_from_its_mirror_on_a_new_machine(results: dict[str, Any]) -> None:
    result = results["mirrored"]
    assert result["killed"]
    assert result["resumed"] == [0, 0], result["log"]
    assert "from shelf://bucket/runs/first" in result["log"]
    assert result["differences"] == []
    assert result["beside"] == ["log.txt", "records-0.jsonl", "records-1.jsonl"]
