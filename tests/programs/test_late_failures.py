"""What fails late leaves the last complete step; what fails at the start leaves no folder."""

import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import Logger

from clozekit.errors import DataError
from clozekit.prepare import prepare
from clozekit.train import train
from tests.corpus.made_texts import config as prepare_config
from tests.corpus.made_texts import write_text
from tests.harness.comparing import same
from tests.programs.commands import QUIET, TINY, read_rows, train_config

RUN = (
    *(*TINY, *QUIET, "max_steps=8", "global_batch_size=8", "micro_batch_size=4"),
    *("validate_every_n_steps=4", "trainer.log_every_n_steps=1"),
)


def values(corpus: Path, folder: Path, *overrides: str) -> list[str]:
    return [f"data.path={corpus}", f"runs_dir={folder}", "name=run", *RUN, *overrides]


def failing(hook: str, steps: int) -> list[str]:
    return [
        "+callbacks.failing._target_=tests.programs.failing.Failing",
        f"+callbacks.failing.hook={hook}",
        f"+callbacks.failing.steps={steps}",
    ]


def content(run: Path) -> dict[str, Any]:
    checkpoint: dict[str, Any] = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    return checkpoint


@pytest.fixture(scope="module")
def uninterrupted(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("uninterrupted")
    train(train_config(*values(corpus, folder)))
    return folder / "run"


@pytest.mark.parametrize(
    ("hook", "steps"),
    [
        ("on_train_batch_start", 3),
        ("on_after_backward", 3),
        ("on_before_optimizer_step", 3),
        ("on_train_batch_end", 3),
        ("on_train_batch_end", 8),
    ],
)
def test_an_error_in_a_callback_leaves_the_last_complete_step(
    hook: str, steps: int, corpus: Path, uninterrupted: Path, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="a mistake in a callback"):
        train(train_config(*values(corpus, tmp_path, *failing(hook, steps))))
    run = tmp_path / "run"
    assert content(run)["global_step"] == steps

    train(train_config(*values(corpus, tmp_path, "resume=auto")))
    resumed, expected = content(run), content(uninterrupted)
    for key in ("state_dict", "optimizer_states", "lr_schedulers", "CosineDataModule"):
        assert same(resumed.get(key), expected.get(key)), key
    assert read_rows(run / "metrics.csv") == read_rows(uninterrupted / "metrics.csv")


@pytest.mark.parametrize("hook", ["on_validation_batch_start", "on_validation_epoch_end"])
def test_an_error_in_a_validation_leaves_its_step(
    hook: str, corpus: Path, uninterrupted: Path, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="a mistake"):
        train(train_config(*values(corpus, tmp_path, *failing(hook, 4))))
    assert content(tmp_path / "run")["global_step"] == 4
    train(train_config(*values(corpus, tmp_path, "resume=auto")))
    assert same(content(tmp_path / "run")["state_dict"], content(uninterrupted)["state_dict"])


class Noting(Callback):
    """Logs as a user may: without a step, with text, and while a new column begins."""

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        noted: dict[str, Any] = {"note": f"step {trainer.global_step}, done", "noted": 1.0}
        for logger in trainer.loggers:
            logger.log_metrics(noted)
            if trainer.global_step == 6:
                logger.log_metrics({"late": 1.0})


def test_what_a_callback_logs_is_the_same_after_a_kill(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noting = f"+callbacks.noting._target_={Noting.__module__}.Noting"
    every = "trainer.log_every_n_steps=3"
    train(train_config(*values(corpus, tmp_path / "whole", noting, every)))
    expected = read_rows(tmp_path / "whole" / "run" / "metrics.csv")
    assert [int(row["step"]) for row in expected if row["noted"]] == [*range(1, 9)]
    assert {row["note"] for row in expected} == {"", *(f"step {n}, done" for n in range(1, 9))}
    assert [int(row["step"]) for row in expected if row["late"]] == [6]

    # As after a kill, the rows are later ones than the checkpoint.
    monkeypatch.setattr("clozekit.training.checkpoints.leaves_weights_good", lambda _: False)
    given = (noting, every, "callbacks.checkpoints.every_n_steps=4")
    failing_at_7 = failing("on_train_batch_start", 7)
    with pytest.raises(ValueError, match="a mistake in a callback"):
        train(train_config(*values(corpus, tmp_path, *given, *failing_at_7)))
    assert content(tmp_path / "run")["global_step"] == 4
    train(train_config(*values(corpus, tmp_path, *given, "resume=auto")))
    assert read_rows(tmp_path / "run" / "metrics.csv") == expected


class BrokenLogger(Logger):
    """A logger whose server is gone."""

    name = "broken"
    version = ""

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        pass

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        if step == 5:
            raise ConnectionError("the server does not answer")

    def finalize(self, status: str) -> None:
        if status == "failed":
            raise ConnectionError("the server does not answer either")


def test_an_error_of_a_logger_leaves_its_step(corpus: Path, tmp_path: Path) -> None:
    logger = f"+logger.broken._target_={BrokenLogger.__module__}.BrokenLogger"
    with pytest.raises(ConnectionError):
        train(train_config(*values(corpus, tmp_path, logger)))
    assert content(tmp_path / "run")["global_step"] == 5


class HalfUpdated:
    def __init__(self, max_steps: int) -> None:
        self.calls = 0

    def __call__(self, step: int) -> float:
        if step == 3:
            raise ValueError("a mistake in a schedule")
        return 1.0


def test_a_step_that_is_half_done_is_not_saved(corpus: Path, tmp_path: Path) -> None:
    schedule = f"schedule._target_={HalfUpdated.__module__}.HalfUpdated"
    with pytest.raises(ValueError, match="a mistake in a schedule"):
        train(train_config(*values(corpus, tmp_path, schedule)))
    assert not (tmp_path / "run" / "checkpoints" / "last.ckpt").exists()


def test_a_plot_that_fails_does_not_end_the_run(
    corpus: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(*arguments: Any) -> None:
        raise RuntimeError("no font")

    monkeypatch.setattr("clozekit.train.plot_curves", fail)
    train(train_config(*values(corpus, tmp_path)))
    assert json.loads((tmp_path / "run" / "results.json").read_text())["step"] == 8
    assert "curves.png could not be drawn (RuntimeError: no font)" in capsys.readouterr().err


@pytest.mark.parametrize(
    "overrides",
    [
        failing("setup", 0),
        failing("on_train_start", 0),
        failing("on_train_batch_start", 0),
        [f"+logger.broken._target_={BrokenLogger.__module__}.Missing"],
    ],
    ids=["setup", "on_train_start", "the first step", "a logger"],
)
@pytest.mark.parametrize("resume", ["null", "auto"])
def test_a_start_that_fails_leaves_no_folder(
    overrides: list[str], resume: str, corpus: Path, tmp_path: Path
) -> None:
    with pytest.raises(Exception, match=r"mistake|Missing"):
        train(train_config(*values(corpus, tmp_path, f"resume={resume}", *overrides)))
    assert list(tmp_path.iterdir()) == []


def test_a_start_that_fails_leaves_an_older_folder(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "job.log").write_text("$ clozekit train\n")
    with pytest.raises(ValueError, match="a mistake"):
        train(train_config(*values(corpus, tmp_path, "resume=auto", *failing("setup", 0))))
    assert (tmp_path / "run" / "job.log").read_text() == "$ clozekit train\n"


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_shard_that_is_cut_is_named(num_workers: int, corpus: Path, tmp_path: Path) -> None:
    copied = tmp_path / "corpus"
    shutil.copytree(corpus, copied)
    shard = copied / "train-00000.arrow"
    cutting = ["_target_=tests.programs.failing.Cutting", f"path={shard}", "step=2"]
    overrides = [f"+callbacks.cutting.{value}" for value in cutting]
    with pytest.raises(DataError, match=r"train-00000\.arrow was changed while it was read: it ha"):
        train(
            train_config(
                *values(copied, tmp_path, f"data.num_workers={num_workers}", *overrides),
                "max_steps=50",
            )
        )
    assert content(tmp_path / "run")["global_step"] >= 2


def test_documents_without_a_pair_are_refused_and_the_name_stays_free(tmp_path: Path) -> None:
    lines = [[f"the old horse feeds the cow {number} ."] for number in range(40)]
    path = write_text(tmp_path / "lines.txt", lines)
    prepare(prepare_config(tmp_path / "corpus", {"format": "text", "path": str(path)}))
    runs = tmp_path / "runs"
    with pytest.raises(DataError, match=r"train split has no sentence pairs: .*sentences=split"):
        train(train_config(*values(tmp_path / "corpus", runs)))
    assert not runs.exists()
    train(
        train_config(
            *values(tmp_path / "corpus", runs, "task=masked_lm", "data=masked_lm", "max_steps=1")
        )
    )


@pytest.mark.parametrize("damage", [b"", b"step", b"\xff\xfe"], ids=["empty", "cut", "no text"])
def test_damaged_records_of_a_run_are_made_anew(
    damage: bytes, corpus: Path, tmp_path: Path
) -> None:
    train(train_config(*values(corpus, tmp_path, "max_steps=4")))
    run = tmp_path / "run"
    identity = json.loads((run / "run.json").read_text())["id"]
    for name in ("run.json", "metrics.csv", "results.json"):
        (run / name).write_bytes(damage)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        train(train_config(*values(corpus, tmp_path, "resume=auto")))
    assert json.loads((run / "run.json").read_text())["id"] == identity
    assert json.loads((run / "results.json").read_text())["step"] == 8
    steps = {row["step"] for row in read_rows(run / "metrics.csv")}
    assert steps >= {"5", "6", "7", "8"}
