"""Silences warnings of Lightning and other libraries that do not apply to clozekit."""

import logging
import os
import warnings


def silence_warnings(shows_profile: bool) -> None:
    """Silences warnings that do not apply, because clozekit defines its own epochs and batches."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    if shows_profile:
        logging.getLogger("lightning.pytorch.profilers").setLevel(logging.INFO)
    os.environ.setdefault("WANDB_SILENT", "true")
    for message in (
        ".*does not have many workers.*",
        ".*but have no logger configured.*",
        ".*no pre-optimization state was saved.*",
        ".*Checkpoint directory .* exists and is not empty.*",
        ".*Experiment logs directory .* exists and is not empty.*",
        # A hint for a command that Slurm should start, also where Slurm is only installed.
        ".*The `srun` command is available on your system but is not used.*",
        ".*`isinstance\\(treespec, LeafSpec\\)` is deprecated.*",
        # Only the newest torch has the arguments that replace it.
        ".*`broadcast_buffers` is deprecated.*",
        # It is refused, see `training.trainer`.
        ".*AMP with fp16 is not supported on CPU.*",
        # A process may have no batch of a validation, or of one source of a mixture.
        ".*method of metric .* was called before the ``update`` method.*",
        # torchmetrics objects reduce metrics over processes before they are logged.
        ".*It is recommended to use `self.log\\(.*sync_dist=True\\)`.*",
        # The average of the weights is loaded from the checkpoint like any weights.
        ".*WeightAveraging callback, but loading a checkpoint outside the 'fit' stage.*",
    ):
        warnings.filterwarnings("ignore", message)
