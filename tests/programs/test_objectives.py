"""Pretraining objectives side by side: `experiment=objectives`."""

import csv
from pathlib import Path
from typing import Any

import pytest

from clozekit.config.callbacks import FULL_SENTENCES_LOSS
from clozekit.errors import ConfigError
from clozekit.train import train
from tests.programs.commands import COMMAND, QUIET, TINY, read_rows, run_clozekit, train_config
from tests.programs.task_files import write_task

SHORT = ("max_steps=2", "global_batch_size=4", "micro_batch_size=4")
CALLBACKS = "callbacks=[checkpoints,full_sentences]"


@pytest.fixture(scope="module")
def sweep(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of the sweep, and what the command printed."""
    folder = tmp_path_factory.mktemp("objectives")
    given = ("experiment=objectives", "name=o", f"data.path={corpus}", *TINY, *QUIET, *SHORT)
    # The real command: children of the tests' server do not look for `hydra.mode`.
    finished = run_clozekit("train", *given, cwd=folder, command=COMMAND)
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return folder / "runs" / "o", finished.stdout


def test_each_objective_is_a_run(sweep: tuple[Path, str]) -> None:
    folder, _ = sweep
    metrics = {
        run.name: set(read_rows(run / "metrics.csv")[-1])
        for run in folder.iterdir()
        if run.is_dir()
    }
    assert sorted(metrics) == [
        *("objective-masked_lm", "objective-next_sentence", "objective-sentence_order"),
    ]
    assert not {name for name in metrics["objective-masked_lm"] if "nsp" in name or "sop" in name}
    assert "validation/nsp_accuracy" in metrics["objective-next_sentence"]
    assert "validation/sop_accuracy" in metrics["objective-sentence_order"]


def test_the_report_compares_them_by_the_same_masked_words(sweep: tuple[Path, str]) -> None:
    folder, shown = sweep
    assert f"sorted by {FULL_SENTENCES_LOSS} (lower is better)" in shown
    assert "cannot be compared" not in shown
    with (folder / "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    losses = {row["objective"]: float(row[FULL_SENTENCES_LOSS]) for row in rows}
    assert len(set(losses.values())) == 3


def test_masked_words_alone_have_the_loss_of_their_own_validation(
    corpus: Path, tmp_path: Path
) -> None:
    """With the seed of the callback, its samples and masks are those of `data=masked_lm`."""
    given = ("objective=masked_lm", f"data.path={corpus}", *TINY, *SHORT)
    results = of_run(tmp_path, *given)
    assert results[FULL_SENTENCES_LOSS] == pytest.approx(results["validation/mlm_loss"], rel=1e-5)


def test_the_samples_do_not_depend_on_what_a_run_trains_on(corpus: Path, tmp_path: Path) -> None:
    """A learning rate that changes no weight: the same model, on the same samples."""
    given = (f"data.path={corpus}", *TINY, *SHORT, "optimizer.lr=1e-30")
    one = of_run(tmp_path, *given, "objective=next_sentence", "name=a")
    other = of_run(
        *(tmp_path, *given, "objective=sentence_order", "name=b"),
        *(
            "data.masked_lm_prob=0.4",
            "data.first_phase={ratio: 0.5, max_seq_length: 16, micro_batch_size: 2}",
        ),
    )
    assert one[FULL_SENTENCES_LOSS] == pytest.approx(other[FULL_SENTENCES_LOSS], rel=1e-6)
    assert one["validation/mlm_loss"] != pytest.approx(other["validation/mlm_loss"], rel=1e-6)


def test_it_needs_masked_words(corpus: Path, tmp_path: Path) -> None:
    rows = write_task(tmp_path, "classification", 20, seed=0)
    given = ("task=classification", "data=classification", f"data.train={rows}", *TINY, *SHORT)
    with pytest.raises(ConfigError, match="needs task=pretraining or task=masked_lm"):
        of_run(tmp_path, *given, f"data.tokenizer={corpus / 'tokenizer.json'}")
    assert not (tmp_path / "x").exists()


def of_run(folder: Path, *overrides: str) -> dict[str, Any]:
    given = [] if any(o.startswith("name=") for o in overrides) else ["name=x"]
    own = [CALLBACKS, "logger=[csv]", f"runs_dir={folder}"]
    return train(train_config(*given, *own, *overrides))
