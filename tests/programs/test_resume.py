"""A killed run goes on as if nothing had been; a changed one as far as it may."""

from pathlib import Path
from typing import Any

import pytest

from clozekit.data.pretraining.pair_datamodule import PretrainingDataModule
from clozekit.data.pretraining.pair_source import PretrainingSource
from clozekit.data.pretraining.pairs import plan_pairs
from tests.harness.cases import MAX_STEPS
from tests.programs import resumed_runs
from tests.programs.forked import results_of
from tests.programs.resumed_runs import name_of, pairwise

PAIRS = [name_of(row) for row in pairwise()]
CHANGES = (
    "two ranks, then one",
    "one rank, then two",
    "two micro-batches, then four",
    "no workers, then two",
)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return results_of(resumed_runs.__name__, tmp_path_factory.mktemp("resumed"))


@pytest.mark.slow
@pytest.mark.parametrize("pair", PAIRS)
def test_a_killed_run_equals_one_that_was_not(pair: str, results: dict[str, Any]) -> None:
    result = results["pairs"][pair]
    assert result["killed"]
    assert set(result["resumed"]) == {0}, result["log"]
    assert result["differences"] == []


@pytest.mark.slow
def test_masks_from_a_global_generator_are_noticed(results: dict[str, Any]) -> None:
    assert results["broken"]["repeated"] == []
    expected = {"loss", "history", "checkpoints/last.ckpt: state_dict"}
    assert expected <= set(results["broken"]["resumed"])


def test_a_run_with_the_parts_of_modernbert_resumes_exactly(results: dict[str, Any]) -> None:
    result = results["modern"]
    assert result["killed"], result["log"]
    assert (result["whole"], result["resumed"]) == ([0, 0], [0, 0]), result["log"]
    assert result["differences"] == []


@pytest.mark.parametrize("kind", ["pretraining", "fine-tuning"])
def test_a_run_with_muon_resumes_exactly(kind: str, results: dict[str, Any]) -> None:
    result = results["muon"][kind]
    assert result["killed"], result["log"]
    assert set(result["whole"]) == set(result["resumed"]) == {0}, result["log"]
    assert result["differences"] == []


@pytest.mark.slow
@pytest.mark.parametrize("change", CHANGES)
def test_a_run_goes_on_shared_out_otherwise(change: str, results: dict[str, Any]) -> None:
    elastic = results["elastic"]
    result = elastic["changes"][change]
    assert result["killed"] and set(result["resumed"]) == {0}
    assert result["samples"] == elastic["samples"]
    assert [len(step) for step in result["samples"]] == [8] * MAX_STEPS
    assert result["losses"] == pytest.approx(elastic["losses"], rel=1e-12)


@pytest.mark.slow
def test_double_precision_is_resumed_exactly(results: dict[str, Any]) -> None:
    elastic = results["elastic"]
    assert elastic["changes"]["no workers, then two"]["losses"] == elastic["losses"]


@pytest.mark.slow
def test_a_longer_run_recomputes_the_schedule(results: dict[str, Any]) -> None:
    longer = results["changed"]["longer"]
    assert longer["codes"] == [0]
    assert "max_steps=8, but the configuration has 14; the learning-rate" in longer["log"]
    rates = {
        int(row["step"]): float(row["train/learning_rate"])
        for row in longer["history"]
        if row["train/learning_rate"]
    }
    # A tenth of warmup, then down to nothing at the end: of 8 steps, then of 14.
    expected = {step: 1e-3 * (8 - (step - 1)) / 7 for step in range(2, 9)}
    expected |= {step: 1e-3 * (14 - (step - 1)) / 13 for step in range(9, 15)}
    assert {step: rates[step] for step in expected} == pytest.approx(expected)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ("another global batch", "global_batch_size=8, but the configuration has 16"),
        ("another encoder", "encoder.intermediate_size=64, but the configuration has 32"),
        ("another corpus", "other data (hash"),
        ("other rows", "other data (hash"),
    ],
)
def test_another_run_is_refused_with_the_difference_named(
    change: str, difference: str, results: dict[str, Any]
) -> None:
    refused = results["changed"][change]
    assert refused["codes"] == [2]
    assert f"was trained with {difference}" in refused["log"]
    assert "Traceback" not in refused["log"]


@pytest.mark.slow
def test_a_named_checkpoint_is_gone_on_from(results: dict[str, Any]) -> None:
    named = results["named"]
    assert named["codes"] == [0, 0]
    assert named["equal"] == [True, True]
    assert named["history"]
    assert named["later"] == ["last.ckpt.later"]
    assert (
        "to step 12; later checkpoints are renamed to .later: last.ckpt (step 14)" in named["log"]
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["full1", "full2"])
def test_a_full_disk_leaves_the_last_good_checkpoint(name: str, results: dict[str, Any]) -> None:
    full = results["full_disk"][name]
    assert full["codes"][0] == 2
    assert 0 not in full["codes"]
    assert "last.ckpt cannot be written: " in full["log"]
    assert "; the previous checkpoint is kept" in full["log"]
    assert full["step"] == 6
    assert full["files"] == ["best.ckpt", "last.ckpt", "step-6.ckpt"]
    assert set(full["resumed"]) == {0}
    assert full["differences"] == []


@pytest.mark.slow
def test_wandb_holds_each_step_once_in_one_run(results: dict[str, Any]) -> None:
    parts = results["wandb_parts"]
    assert parts["codes"] == [[-9], [-9], [0]]
    assert parts["parts"] == 3 and len(parts["ids"]) == 1
    logged = {(int(step), name): float(value) for step, name, value in parts["logged"]}
    assert len(logged) == len(parts["logged"])
    written = {
        (int(row["step"]), name): float(value)
        for row in parts["history"]
        for name, value in row.items()
        if "/" in name and value
    }
    assert logged == written
    assert {step for step, name in logged if name == "train/loss"} == set(range(1, MAX_STEPS + 1))


@pytest.mark.slow
def test_the_cost_of_checkpoints_is_logged(results: dict[str, Any]) -> None:
    shares = results["checkpoint_cost"]
    assert [row["train/checkpoint_seconds"] for row in shares[:4]] == ["0.0"] * 4
    seconds = [float(row["train/checkpoint_seconds"]) for row in shares]
    assert seconds == sorted(seconds) and len(set(seconds)) == 5  # after steps 4, 6, 8 and 12
    assert all(0 < float(row["train/checkpoint_share"]) < 1 for row in shares[4:])


def test_nothing_is_built_again_however_far_a_run_was(
    corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts = {"build": 0, "plan": 0}
    build = PretrainingSource.build

    def counted_build(*arguments: Any, **options: Any) -> Any:
        counts["build"] += 1
        return build(*arguments, **options)

    def counted_plan(*arguments: Any, **options: Any) -> Any:
        counts["plan"] += 1
        return plan_pairs(*arguments, **options)

    monkeypatch.setattr(PretrainingSource, "build", counted_build)
    monkeypatch.setattr("clozekit.data.pretraining.pair_source.plan_pairs", counted_plan)
    costs = []
    for step, epoch in ((10, 0), (1_000_000, 20_000)):
        datamodule = PretrainingDataModule(
            path=corpus, seed=0, global_batch_size=16, micro_batch_size=8, max_seq_length=48
        )
        place = {"step": step, "epoch": epoch, "slot": 0, "offset": 160}
        datamodule.load_state_dict({"position": place})
        counts.update(build=0, plan=0)
        built = next(iter(datamodule.train_dataloader()))
        assert built.index == step and len(built.micro_batches) == 2
        for batch in built.micro_batches:
            assert set(batch.sample_ids[:, 0].tolist()) == {epoch}
        costs.append(dict(counts))
    assert costs == [{"build": 2, "plan": 1}] * 2
