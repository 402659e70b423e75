"""A run in TensorBoard beside the other loggers, each step once."""

from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from clozekit.train import train
from clozekit.training.tensorboard import TensorBoardLogger
from tests.programs.commands import TINY, read_rows, train_config


def steps_of(folder: Path, name: str) -> list[int]:
    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    return [event.step for event in events.Scalars(name)]


def test_a_resumed_part_takes_the_place_of_what_was_lost(tmp_path: Path) -> None:
    for begin, steps in ((0, (1, 2, 3, 4)), (2, (3, 4, 5))):
        logger = TensorBoardLogger(str(tmp_path))
        logger.rewind(begin)
        for step in steps:
            logger.log_metrics({"train/loss": float(step)}, step)
        logger.finalize("success")
    assert steps_of(tmp_path, "train/loss") == [1, 2, 3, 4, 5]


def test_several_loggers_have_the_same_history(corpus: Path, tmp_path: Path) -> None:
    train(
        train_config(
            *("name=run", f"runs_dir={tmp_path}", f"data.path={corpus}", *TINY),
            *("max_steps=3", "global_batch_size=8", "micro_batch_size=8"),
            *("trainer.log_every_n_steps=1", "callbacks.progress=null"),
            "logger=[csv,tensorboard]",
        )
    )
    rows = read_rows(tmp_path / "run" / "metrics.csv")
    for name in ("train/loss", "validation/loss"):
        expected = [int(row["step"]) for row in rows if row[name]]
        assert steps_of(tmp_path / "run", name) == expected
