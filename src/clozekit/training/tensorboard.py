"""TensorBoard, with each step once over all resumptions."""

from typing import Any

from lightning.pytorch.loggers import TensorBoardLogger as LightningTensorBoardLogger


class TensorBoardLogger(LightningTensorBoardLogger):
    """Lightning's logger, which writes to the folder `tensorboard` of the run.

    Args:
        save_dir: The run's folder.
        **kwargs: The other arguments of Lightning's logger and of torch's `SummaryWriter`.
    """

    def __init__(self, save_dir: str, **kwargs: Any) -> None:
        arguments = {"name": "tensorboard", "version": "", "default_hp_metric": False, **kwargs}
        super().__init__(save_dir, **arguments)

    def rewind(self, step: int) -> None:
        """Lets TensorBoard leave out what an earlier part logged after a checkpoint's step."""
        self._kwargs["purge_step"] = step + 1
