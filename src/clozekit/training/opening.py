"""Opens the folder of a run: its record, its configuration, and the state that it begins with."""

from typing import Any

from lightning.pytorch import Trainer

from clozekit.config.train import TrainConfig
from clozekit.data.files.checksums import checksums_of_rows
from clozekit.data.labelled.labelled_datamodule import LabelledDataModule
from clozekit.data.module import StreamDataModule
from clozekit.output.display import say
from clozekit.runs.branch import continue_history
from clozekit.runs.folder import RunFolder
from clozekit.runs.resume import adopt
from clozekit.tasks.base import TaskModule
from clozekit.training.beginning import Beginning
from clozekit.training.checkpoints import Checkpoints
from clozekit.training.monitoring import monitored


def checksums(config: TrainConfig, datamodule: StreamDataModule) -> dict[str, str]:
    """Returns the checksums of the files of rows, or of the corpus, by path."""
    data = config.data.model_extra or {}
    if isinstance(datamodule, LabelledDataModule):
        return checksums_of_rows(data)
    path, checksum = data.get("path"), datamodule.data_hash
    return {path: checksum} if isinstance(path, str) and checksum is not None else {}


def selection_metric(trainer: Trainer, module: TaskModule[Any]) -> tuple[str, str]:
    """Returns the metric that selects the best checkpoint, and its mode."""
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, Checkpoints):
            name, mode = monitored(module, callback.monitor, callback.mode)
            if name is not None:
                return name, mode
    return module.monitor, module.monitor_mode


def open_folder(
    folder: RunFolder, begin: Beginning, values: dict[str, Any], monitored: tuple[str, str]
) -> None:
    """Writes the configuration, with the encoder that is trained, and the record."""
    config, resumed = begin.config, begin.checkpoint
    is_resumed = resumed is not None and not begin.is_of_parent
    facts = begin.facts | ({} if begin.parent is None else begin.parent.as_record())
    if config.resume is None:
        folder.create(values, monitored, facts)
    else:
        source = f"step {resumed.step} ({resumed.path})" if resumed and is_resumed else None
        folder.reopen(values, source, monitored, facts)
    if resumed is None:
        if config.resume is not None:
            say(f"{folder.path} has no checkpoint; the run starts from step 0")
        return
    if config.resume != "auto" or begin.is_of_parent:
        adopt(resumed, folder.checkpoints)
    if begin.parent is not None and begin.is_of_parent:
        continue_history(begin.parent, folder)
    done = "resumed at" if is_resumed else "begins at"
    say(f"{done} step {resumed.step} from {resumed.path}")
