"""Lightning's profilers write to the run's folder, and end with the run."""

import gc
import warnings
from pathlib import Path

import pytest
from lightning.pytorch.profilers import AdvancedProfiler, PyTorchProfiler
from lightning.pytorch.profilers.profiler import Profiler

from clozekit.runs.folder import RunFolder
from clozekit.train import train
from clozekit.training.profiling import end_profiler, prepare_profiler
from tests.programs.commands import QUIET, TINY, train_config
from tests.tasks.training import trainer_of


def prepared(folder: Path, profiler: Profiler, **options: bool) -> Profiler:
    trainer = trainer_of(folder, 1, profiler=profiler, **options)
    prepare_profiler(trainer, RunFolder(folder / "x"))
    return profiler


def test_a_profiler_that_has_no_folder_has_the_runs(tmp_path: Path) -> None:
    assert prepared(tmp_path, AdvancedProfiler()).dirpath == tmp_path / "x"
    assert prepared(tmp_path, AdvancedProfiler(dirpath="mine")).dirpath == "mine"


def test_a_profiler_that_has_recorded_nothing_ends_without_an_error(tmp_path: Path) -> None:
    profiler = PyTorchProfiler()
    trainer = trainer_of(tmp_path, 1, profiler=profiler)
    prepare_profiler(trainer, RunFolder(tmp_path / "x"))
    for end in (lambda: end_profiler(trainer), lambda: profiler.summary()):
        # As torch's schedule waits, it has no events yet. Saving a checkpoint begins like this.
        profiler.start("save_checkpoint")
        profiler.stop("save_checkpoint")
        assert profiler.profiler is not None
        end()
        assert profiler.profiler is None


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pytorch", "advanced", "simple"])
def test_profilers_of_a_run_say_nothing_but_their_report(
    name: str, corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        train(
            train_config(
                *("name=x", f"runs_dir={tmp_path}", f"data.path={corpus}", *TINY, *QUIET),
                *("global_batch_size=4", "micro_batch_size=4", "max_steps=12"),
                *("trainer.limit_val_batches=6", f"trainer.profiler={name}"),
            )
        )
    gc.collect()
    assert "Traceback" not in capsys.readouterr().err
    assert not [each for each in warned if "dirpath" in str(each.message)]
    traces = [path.name for path in (tmp_path / "x").glob("*.json") if ".trace." in path.name]
    assert bool(traces) == (name == "pytorch")
