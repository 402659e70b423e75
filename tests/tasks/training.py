"""Trainings of a few steps by Lightning's Trainer, on rows of random words."""

from pathlib import Path
from typing import Any

from lightning.pytorch import Trainer

from clozekit.data.labelled.labelled_source import LabelledSource
from clozekit.data.module import StreamDataModule
from clozekit.runs.checkpoint_file import AtomicCheckpointIO
from tests.data.labelled.labelled_rows import MAX_SEQ_LENGTH, drawn
from tests.data.spelling import spelling_tokenizer


class DrawnRows(StreamDataModule):
    """Rows of a task, the same for training and validation.

    Args:
        task: The task's name in `labelled_rows.TASKS`.
        number: How many rows.
        **changes: Arguments of `StreamDataModule`.
    """

    def __init__(self, task: str = "classification", number: int = 20, **changes: Any) -> None:
        arguments = {"global_batch_size": 6, "micro_batch_size": 6, "num_workers": 0}
        super().__init__(seed=0, max_seq_length=MAX_SEQ_LENGTH, **{**arguments, **changes})
        self.tokenizer = spelling_tokenizer()
        rows = drawn(task, number)
        self.sources = {
            "train": LabelledSource(rows, is_training=True),
            "validation": LabelledSource(rows, is_training=False),
        }


def trainer_of(folder: Path, max_steps: int, **options: Any) -> Trainer:
    """Makes a Trainer as clozekit does, on one CPU; it validates where `validate_every` says.

    Args:
        folder: What it may write in.
        max_steps: The steps.
        **options: Arguments of the Trainer; `validate_every` for no validation but every so often.
    """
    validate_every = options.pop("validate_every", None)
    arguments: dict[str, Any] = {
        "accelerator": "cpu",
        "devices": 1,
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "num_sanity_val_steps": 0,
        "plugins": [AtomicCheckpointIO()],
        "limit_val_batches": 0 if validate_every is None else 1.0,
    }
    return Trainer(
        default_root_dir=folder,
        max_steps=max_steps,
        max_epochs=-1,
        check_val_every_n_epoch=None,
        val_check_interval=min(validate_every or max_steps, max_steps),
        use_distributed_sampler=False,
        **{**arguments, **options},
    )
