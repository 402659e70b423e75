"""How much memory training adds to a process."""

from pathlib import Path
from typing import Any

from lightning.pytorch import Callback

from clozekit.training.memory import used_so_far


class Peak(Callback):
    """Writes by how much the most memory that the process has used grew during training.

    Args:
        path: The file that gets the number of bytes.
    """

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        self.before = 0

    def on_fit_start(self, *_: Any) -> None:
        self.before = used_so_far()

    def on_train_end(self, *_: Any) -> None:
        self.path.write_text(str(used_so_far() - self.before))
