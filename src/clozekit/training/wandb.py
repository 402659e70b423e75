"""Weights & Biases, offline unless told otherwise."""

from typing import Any

from lightning.pytorch.loggers import WandbLogger as LightningWandbLogger


class WandbLogger(LightningWandbLogger):
    """Lightning's logger, without an argument that current versions of wandb warn of.

    Args:
        **kwargs: The arguments of Lightning's logger and of `wandb.init`.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if self._wandb_init.get("anonymous") is None:
            self._wandb_init.pop("anonymous", None)
