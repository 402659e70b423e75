"""TensorBoard logging, without duplicate steps after a resume."""

from typing import Any

from lightning.pytorch.loggers import TensorBoardLogger as LightningTensorBoardLogger


class TensorBoardLogger(LightningTensorBoardLogger):
    """Lightning's logger, writing to the folder `tensorboard` of the run.

    Args:
        save_dir: The run's folder.
        **kwargs: The other arguments of Lightning's logger and of torch's `SummaryWriter`.
    """

    def __init__(self, save_dir: str, **kwargs: Any) -> None:
        arguments = {"name": "tensorboard", "version": "", "default_hp_metric": False, **kwargs}
        super().__init__(save_dir, **arguments)

    def rewind(self, step: int) -> None:
        """Makes TensorBoard discard what was logged after this step before the resume."""
        self._kwargs["purge_step"] = step + 1
