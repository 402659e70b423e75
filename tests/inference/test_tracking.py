"""What W&B is shown of a fine-tuned model, for every task."""

from pathlib import Path
from typing import Any

import pytest

from clozekit.data.labelled.labelled_datamodule import LabelledDataModule
from clozekit.inference import tracking
from clozekit.inference.tracking import log_predictions
from clozekit.tasks.fine_tuning import FineTuningModule
from clozekit.training.assembly import encoder_config, make_datamodule, make_module
from tests.programs.commands import TINY, train_config
from tests.programs.task_files import FILES, write_task


class Run:
    """Stands in for W&B's run."""

    def __init__(self) -> None:
        self.logged: dict[str, Any] = {}

    def log(self, values: dict[str, Any]) -> None:
        self.logged |= values


def logged(task: str, corpus: Path, folder: Path) -> dict[str, Any]:
    name = "classification" if task == "several_labels" else task
    more = ["data.multi_label=true"] if task == "several_labels" else []
    config = train_config(
        *("name=run", f"runs_dir={folder}", f"task={name}", f"data={name}", *TINY, *more),
        f"data.train={write_task(folder, task, 40, seed=0)}",
        f"data.tokenizer={corpus / 'tokenizer.json'}",
        *("max_steps=1", "global_batch_size=8", "micro_batch_size=8"),
    )
    datamodule = make_datamodule(config, None)
    module = make_module(config, encoder_config(config.encoder, datamodule, None), datamodule, 1)
    assert isinstance(module, FineTuningModule) and isinstance(datamodule, LabelledDataModule)
    run = Run()
    log_predictions(run, module, datamodule)
    return run.logged


INPUTS = {
    "classification": ["text"],
    "several_labels": ["text"],
    "regression": ["text"],
    "multiple_choice": ["context", "choices"],
    "tagging": ["words"],
    "question_answering": ["question", "context"],
    "question_answering_bio": ["question", "context"],
    "embedding": ["texts", "is_pair"],
}


@pytest.mark.parametrize("task", FILES)
def test_a_table_of_predictions(task: str, corpus: Path, tmp_path: Path) -> None:
    values = logged(task, corpus, tmp_path)
    table = values["validation/predictions"]
    assert 0 < len(table.data) <= 40
    columns = table.columns
    end = columns.index("gold")
    assert columns[:end] == ["id", *INPUTS[task]], "no label is among the inputs"
    assert all(len(row) == len(columns) for row in table.data)
    assert all(isinstance(cell, str) for row in table.data for cell in row)
    assert ("validation/confusion_matrix" in values) == (task in ("classification", "tagging"))


def test_large_tables_are_cut(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking, "MOST_ROWS_IN_TABLE", 2)
    monkeypatch.setattr(tracking, "MOST_CHARACTERS", 10)
    table = logged("classification", corpus, tmp_path)["validation/predictions"]
    assert len(table.data) == 2
    (text,) = {row[table.columns.index("text")] for row in table.data[:1]}
    assert len(text) == 11 and text.endswith("…")
