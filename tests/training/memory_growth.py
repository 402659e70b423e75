"""How much memory training adds to a process."""

from pathlib import Path
from typing import Any

from lightning.pytorch import Callback


class Growth(Callback):
    """Writes by how much the memory of the process grew during training.

    The command keeps memory that is freed, so this includes what was freed within a step. Files
    that are mapped, such as libraries, do not count.

    Args:
        path: The file that gets the number of bytes.
    """

    def __init__(self, path: str) -> None:
        self.path = Path(path)
        self.before = 0

    def on_fit_start(self, *_: Any) -> None:
        self.before = _anonymous()

    def on_train_end(self, *_: Any) -> None:
        self.path.write_text(str(_anonymous() - self.before))


def _anonymous() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.split("RssAnon:")[1].split()[0]) * 2**10
