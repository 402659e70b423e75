"""Which metric callbacks go by, checked against what real validations give."""

import csv
from pathlib import Path
from typing import Any

import pytest

from clozekit.errors import ConfigError
from clozekit.tasks.base import TaskModule
from clozekit.train import train
from clozekit.training.assembly import encoder_config, make_datamodule, make_module
from clozekit.training.monitoring import check_monitors
from tests.programs.commands import QUIET, TINY, read_rows, train_config
from tests.programs.task_files import write_task

TASKS = (
    *("pretraining", "masked_lm", "classification", "regression", "tagging", "multiple_choice"),
    *("question_answering", "question_answering_bio", "embedding"),
)


def overrides(task: str, corpus: Path, folder: Path) -> list[str]:
    given = [f"name={task}", f"runs_dir={folder}", f"task={task}", f"data={task}", *TINY, *QUIET]
    given += ["max_steps=2", "global_batch_size=4", "micro_batch_size=4"]
    if task in ("pretraining", "masked_lm"):
        return [*given, f"data.path={corpus}"]
    train_file = write_task(folder, task, 20, seed=0)
    return [*given, f"data.train={train_file}", f"data.tokenizer={corpus / 'tokenizer.json'}"]


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_the_metrics_that_are_told_before_training_are_those_of_a_validation(
    task: str, corpus: Path, tmp_path: Path
) -> None:
    config = train_config(*overrides(task, corpus, tmp_path))
    results = train(config)
    module = module_of(config)
    told = module.validation_metrics_and_modes()
    assert told is not None
    found = {name for name in results if name.startswith("validation/")}
    assert found <= told.keys()
    if not task.startswith("question"):
        assert found == told.keys()
    assert told[module.monitor] == module.monitor_mode


def module_of(config: Any) -> TaskModule[Any]:
    datamodule = make_datamodule(config, None)
    return make_module(config, encoder_config(config.encoder, datamodule, None), datamodule, 2)


class OfTheUsers(TaskModule[Any]):
    """A task that says nothing of its metrics."""


def test_a_task_that_does_not_tell_its_metrics_is_not_checked() -> None:
    check_monitors({"checkpoints": {"monitor": "mine", "mode": "min"}}, OfTheUsers())


def test_modes_that_contradict_the_metric_are_refused(corpus: Path, tmp_path: Path) -> None:
    module = module_of(train_config(*overrides("regression", corpus, tmp_path)))
    for monitor, mode, other in (("pearson", "max", "min"), ("mse", "min", "max")):
        given = {"monitor": f"validation/{monitor}", "mode": mode}
        check_monitors({"early_stopping": given}, module)
        message = rf"early_stopping\.mode={other} would take the worst .* it should be {mode}"
        with pytest.raises(ConfigError, match=message):
            check_monitors({"early_stopping": {**given, "mode": other}}, module)
    with pytest.raises(ConfigError, match=r"mode=min .* it should be max"):
        check_monitors({"checkpoints": {"mode": "min"}}, module)


@pytest.mark.parametrize(("patience", "validations"), [(0, 2), (1, 2), (2, 3)])
def test_training_ends_after_so_many_validations_without_a_better_one(
    patience: int, validations: int, corpus: Path, tmp_path: Path
) -> None:
    config = train_config(
        *(o for o in overrides("pretraining", corpus, tmp_path) if not o.startswith("max_steps")),
        *(
            "callbacks=[checkpoints,early_stopping,progress]",
            f"callbacks.early_stopping.patience={patience}",
        ),
        # Nothing is better than the first by so much.
        *("callbacks.early_stopping.min_delta=100", "max_steps=10", "validate_every_n_steps=2"),
    )
    train(config)
    rows = read_rows(config.run_dir / "metrics.csv")
    assert [row["step"] for row in rows if row["validation/loss"]] == [
        str(2 * number) for number in range(1, validations + 1)
    ]


@pytest.mark.parametrize(("save_top_k", "kept"), [(-1, 3), (0, 0), (2, 2)])
def test_so_many_of_the_best_are_kept(
    save_top_k: int, kept: int, corpus: Path, tmp_path: Path
) -> None:
    config = train_config(
        *(o for o in overrides("pretraining", corpus, tmp_path) if not o.startswith("max_steps")),
        *(f"callbacks.checkpoints.save_top_k={save_top_k}", "max_steps=6"),
        "validate_every_n_steps=2",
    )
    train(config)
    checkpoints = config.run_dir / "checkpoints"
    assert len(list(checkpoints.glob("step-*.ckpt"))) == kept
    assert (checkpoints / "best.ckpt").exists() == (kept > 0)
    assert (checkpoints / "last.ckpt").exists()


def balanced(folder: Path, corpus: Path, weights: str, labels: list[str], *more: str) -> Any:
    file = folder / "rows.csv"
    with file.open("w", newline="") as opened:
        writer = csv.writer(opened)
        writer.writerow(["text", "label"])
        writer.writerows([f"the film {number}", label] for number, label in enumerate(labels))
    given = [o for o in overrides("classification", corpus, folder) if "data.train" not in o]
    files = (f"data.train={file}", f"data.validation={file}")
    config = train_config(*given, *files, f"task.class_weights={weights}", *more)
    return module_of(config).class_weights.tolist()


def test_balanced_weights_are_the_inverse_frequency(corpus: Path, tmp_path: Path) -> None:
    weights = balanced(tmp_path, corpus, "balanced", ["a"] * 6 + ["b"] * 3 + ["c"])
    # The rows over the classes times the class's rows, as scikit-learn has it.
    assert weights == pytest.approx([10 / 18, 10 / 9, 10 / 3])


def test_balanced_weights_of_several_labels_have_the_mean_1(corpus: Path, tmp_path: Path) -> None:
    labels = ["a"] * 5 + ["a;b"] + ["a;c"] * 2
    weights = balanced(tmp_path, corpus, "balanced", labels, "data.multi_label=true")
    # Counts 8, 1 and 2.
    assert weights == pytest.approx([3 / 13, 24 / 13, 12 / 13])


def test_a_list_of_weights_is_in_the_order_of_the_classes(corpus: Path, tmp_path: Path) -> None:
    assert balanced(tmp_path, corpus, "[1.0,2.0]", ["b", "a"] * 3) == [1.0, 2.0]
    with pytest.raises(ConfigError, match=r"class_weights has 3 weights, but there are 2 classes"):
        balanced(tmp_path, corpus, "[1.0,2.0,1.0]", ["b", "a"] * 3)
    with pytest.raises(ConfigError, match="at least one weight greater than 0"):
        balanced(tmp_path, corpus, "{a: 0, b: 0}", ["b", "a"] * 3)


@pytest.mark.slow
def test_a_model_of_balanced_weights_predicts(corpus: Path, tmp_path: Path) -> None:
    from clozekit.loading import load

    given = overrides("classification", corpus, tmp_path)
    config = train_config(*given, "task.class_weights=balanced")
    train(config)
    assert "label" in load(config.run_dir).predict(["the film"])[0]
