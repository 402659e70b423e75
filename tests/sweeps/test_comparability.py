"""Swept keys that change what a metric measures."""

from pathlib import Path

import pytest

from clozekit.config.callbacks import FULL_SENTENCES_LOSS
from clozekit.config.report import ReportConfig
from clozekit.report import report
from clozekit.sweeps.comparability import keys_that_change
from clozekit.sweeps.read_runs import FoundRun, Outcome
from tests.sweeps.made_runs import LOSS, make_run

PRETRAINING = {
    "data.masked_lm_prob": 0.15,
    "data.validation_masking.masked_lm_prob": 0.15,
    "data.max_seq_length": 128,
}
LIMITED = {**PRETRAINING, "trainer.limit_val_batches": 10}
EMBEDDING = {
    "data.validation": "a.csv",
    "task._target_": "clozekit.tasks.embedding.EmbeddingModule",
}
FINE_TUNING = {"data.train": "a.csv", "data.validation": "b.csv", "data.max_seq_length": 128}


def run(config: dict[str, object]) -> FoundRun:
    return FoundRun("a", Path("a"), Outcome.FINISHED, config=config)


@pytest.mark.parametrize(
    ("config", "metric", "keys", "changing"),
    [
        (PRETRAINING, LOSS, ["data.masked_lm_prob", "optimizer.lr"], []),
        (PRETRAINING, "train/loss", ["data.masked_lm_prob", "optimizer.lr"], [0]),
        (PRETRAINING, LOSS, ["data.validation_masking.masked_lm_prob"], [0]),
        (PRETRAINING, LOSS, ["encoder.hidden_size", "data.max_seq_length"], [1]),
        (PRETRAINING, LOSS, ["data.path", "task"], [0, 1]),
        (PRETRAINING, LOSS, ["data.path.a.weight", "data.path.a.path"], [1]),
        (PRETRAINING, LOSS, ["data.phases.0.ratio", "data.phases.1.weights.a"], []),
        (PRETRAINING, "train/loss", ["data.path.a.weight", "data.phases.0.ratio"], [0, 1]),
        (PRETRAINING, LOSS, ["data.pair_objective", "objective"], [0, 1]),
        (PRETRAINING, FULL_SENTENCES_LOSS, ["data.pair_objective", "task", "objective"], []),
        (PRETRAINING, FULL_SENTENCES_LOSS, ["data.path", "data.max_seq_length"], [0, 1]),
        (PRETRAINING, LOSS, ["data.span_mask", "data.phases.0.masked_lm_prob"], []),
        (PRETRAINING, "train/loss", ["data.span_mask", "data.max_span_length"], [0, 1]),
        (PRETRAINING, "train/loss", ["data.phases.0.masked_lm_prob", "data.phases"], [0, 1]),
        (PRETRAINING, LOSS, ["data.validation_masking.span_mask"], [0]),
        (PRETRAINING, LOSS, ["encoder.hidden_dropout_prob"], []),
        (PRETRAINING, "train/loss", ["encoder.hidden_dropout_prob"], [0]),
        (PRETRAINING, LOSS, ["trainer.limit_val_batches", "micro_batch_size"], [0]),
        (LIMITED, LOSS, ["trainer.limit_val_batches", "micro_batch_size"], [0, 1]),
        (PRETRAINING, "probe/mean_accuracy", ["callbacks.probes.validation", "data.path"], [0]),
        (EMBEDDING, LOSS, ["task.temperature"], [0]),
        (EMBEDDING, "validation/mrr", ["task.temperature"], []),
        (EMBEDDING, "train/loss", ["global_batch_size"], [0]),
        # A run of before there was validation_masking.
        ({"data.masked_lm_prob": 0.15}, LOSS, ["data.masked_lm_prob"], [0]),
        (FINE_TUNING, LOSS, ["data.max_seq_length", "task.class_weights", "data.train"], []),
        (FINE_TUNING, "train/loss", ["task.class_weights", "task.label_smoothing"], [0, 1]),
        (FINE_TUNING, LOSS, ["data.label_column", "data.validation"], [0, 1]),
        (FINE_TUNING, LOSS, ["data.on_unknown_label", "task.classifier_dropout"], [0]),
        (FINE_TUNING, "train/loss", ["task.classifier_dropout"], [0]),
        (FINE_TUNING | {"data.validation": None}, LOSS, ["data.train"], [0]),
    ],
)
def test_keys_that_change_what_is_measured(
    config: dict[str, object], metric: str, keys: list[str], changing: list[int]
) -> None:
    assert keys_that_change(metric, keys, [run(config)]) == [keys[index] for index in changing]


@pytest.mark.parametrize(
    ("second", "is_changed"), [({"data.path": "b"}, True), ({"optimizer.lr": 1e-3}, False)]
)
def test_a_recipe_changes_what_its_keys_change(second: dict[str, object], is_changed: bool) -> None:
    runs = [
        run({**PRETRAINING, "data.path": "a"}),
        run({**PRETRAINING, "data.path": "a", **second}),
    ]
    assert keys_that_change(LOSS, ["experiment"], runs) == ["experiment"] * is_changed


def test_a_report_says_that_settings_cannot_be_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for number, key in enumerate(("data.label_column=a", "data.label_column=\x1b[31mb")):
        make_run(Path("runs/x") / f"run-{number}", key, results={LOSS: 1.0 + number})
    report(ReportConfig(folder=Path("runs/x")))
    shown = capsys.readouterr().out
    assert (
        "data.label_column changes what validation/loss measures, so its values for different "
        "settings cannot be compared\n"
    ) in shown
    assert "\x1b" not in shown and r"\x1b[31mb" in shown


@pytest.mark.parametrize("second", ["0", "1"])
def test_a_report_says_that_the_rows_have_changed_between_runs(
    second: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for number, checksum in enumerate(("0", second)):
        files = {"rows.csv": checksum, f"own-{number}.csv": checksum}
        rate = f"optimizer.lr=0.{number + 1}"
        folder = Path("runs/x") / f"run-{number}"
        make_run(folder, rate, results={LOSS: 1.0}, facts={"data": files})
    report(ReportConfig(folder=Path("runs/x")))
    remark = "rows.csv changed between these runs, so their values cannot be compared\n"
    assert (remark in capsys.readouterr().out) == (second == "1")
