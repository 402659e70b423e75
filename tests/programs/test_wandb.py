"""An interrupted and resumed fine-tuning in W&B's offline files: one run, told how it ended."""

import json
from pathlib import Path
from typing import Any

import pytest

from clozekit.training.wandb import offline_history, offline_records
from tests.programs.commands import TINY, environment_with_tests, run_clozekit
from tests.programs.signaller import Signaller
from tests.programs.task_files import write_task
from tests.programs.texts import TOPICS

pytestmark = pytest.mark.slow
STEPS = 6


@pytest.fixture(scope="module")
def run(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that was preempted in its third step, went on, and ended."""
    folder = tmp_path_factory.mktemp("wandb")
    arguments = [
        *("train", "name=run", "task=classification", "data=classification", *TINY, "resume=auto"),
        f"data.train={write_task(folder, 'classification', 60, seed=0)}",
        f"data.tokenizer={corpus / 'tokenizer.json'}",
        *(f"max_steps={STEPS}", "global_batch_size=8", "micro_batch_size=8"),
        *("trainer.log_every_n_steps=1", "callbacks.progress=null", "logger.wandb.group=sweep"),
    ]
    target = f"{Signaller.__module__}.{Signaller.__name__}"
    signaller = (f"_target_={target}", "name=SIGTERM", "step=2")
    more = {"PYTHONPATH": environment_with_tests()["PYTHONPATH"]}
    for overrides, code in (([f"+callbacks.signaller.{s}" for s in signaller], 75), ([], 0)):
        finished = run_clozekit(*arguments, *overrides, cwd=folder, more=more)
        assert finished.returncode == code, finished.stderr
    return folder / "runs" / "run"


def run_id(run: Path) -> str:
    identity: str = json.loads((run / "run.json").read_text())["id"]
    return identity


def records(run: Path, kind: str) -> list[Any]:
    found = offline_records(run / "wandb", run_id(run))
    return [getattr(record, kind) for record in found if record.WhichOneof("record_type") == kind]


def test_both_parts_are_one_run(run: Path) -> None:
    assert len(list((run / "wandb").glob("offline-run-*"))) == 2
    assert {record.run_id for record in records(run, "run")} == {run_id(run)}
    assert {record.job_type for record in records(run, "run")} == {"classification"}
    assert {record.run_group for record in records(run, "run")} == {"sweep"}


def test_they_have_one_configuration(run: Path) -> None:
    config: dict[str, list[Any]] = {}
    for record in [*records(run, "config"), *(r.config for r in records(run, "run"))]:
        for item in record.update:
            key = item.key or item.nested_key[0]
            if not key.startswith("_"):
                config.setdefault(key, []).append(json.loads(item.value_json))
    assert {values[0] == values[-1] for key, values in config.items() if key != "callbacks"} == {
        True
    }
    assert config["max_steps"][0] == STEPS
    assert config["versions"][0]["packages"]["torch"]
    assert len(config["data_hash"][0]) >= 16


def test_the_exit_codes_are_those_of_the_processes(run: Path) -> None:
    assert [record.exit_code for record in records(run, "exit")] == [75, 0]
    assert len(records(run, "preempting")) == 1


def test_the_history_has_every_step_once(run: Path) -> None:
    rows = list(offline_history(run / "wandb", run_id(run)))
    steps = [row["trainer/global_step"] for row in rows if "train/loss" in row]
    assert steps == list(range(1, STEPS + 1))


def test_the_end_shows_predictions(run: Path) -> None:
    sizes = {}
    for row in offline_history(run / "wandb", run_id(run)):
        for name, value in row.items():
            if name.endswith("/nrows"):
                sizes[name.removesuffix("/nrows")] = value
    assert sizes["validation/predictions"] > 0
    assert sizes["validation/confusion_matrix_table"] == len(TOPICS) ** 2  # a row a pair of classes
    assert len(list((run / "wandb").rglob("*.table.json"))) == 2
