"""Lightning's profilers in a run: where their traces are written, and how they end."""

from types import MethodType

from lightning.pytorch import Trainer
from lightning.pytorch.profilers import Profiler, PyTorchProfiler

from clozekit.runs.folder import RunFolder


def prepare_profiler(trainer: Trainer, folder: RunFolder) -> None:
    """Lets the profiler write to the run's folder, unless it has another one.

    Args:
        trainer: The Trainer.
        folder: The run's folder. Nothing is written with `fast_dev_run`.
    """
    profiler: Profiler = trainer.profiler  # type: ignore[attr-defined]
    writes = not trainer.fast_dev_run  # type: ignore[attr-defined]
    if writes and profiler.dirpath is None:
        profiler.dirpath = folder.path
    if isinstance(profiler, PyTorchProfiler):
        # It would warn of each trace that has no folder.
        profiler._has_on_trace_ready = profiler._has_on_trace_ready or not writes
        profiler._cache_functions_events = MethodType(_keep_events, profiler)  # type: ignore[method-assign]


def end_profiler(trainer: Trainer) -> None:
    """Ends what the profiler began after its last report, such as that of saving a checkpoint.

    Otherwise it would end when Python does, when torch no longer works.
    """
    trainer.profiler.teardown(stage=None)  # type: ignore[attr-defined]


def _keep_events(profiler: PyTorchProfiler) -> None:
    """Keeps the events for the report, if there are any.

    Lightning's method fails if torch has not recorded anything yet, because its schedule first
    waits for some steps.
    """
    profiler.function_events = None
    if getattr(profiler.profiler, "profiler", profiler.profiler) is not None:
        PyTorchProfiler._cache_functions_events(profiler)
