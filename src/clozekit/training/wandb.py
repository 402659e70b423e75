"""Weights & Biases, offline unless told otherwise, one run over all resumptions."""

import json
import struct
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch.loggers import WandbLogger as LightningWandbLogger

BLOCK_SIZE = 32768
FILE_HEADER_SIZE = 7
RECORD_HEADER = struct.Struct("<IHB")
FULL, FIRST, MIDDLE, LAST = range(1, 5)
GLOBAL_STEP = "trainer/global_step"


class WandbLogger(LightningWandbLogger):
    """Lightning's logger, which after a resumption logs nothing that an earlier part holds.

    A killed run has logged steps after its last checkpoint, and the resumed run comes by them
    again. Offline each part is a file of its own; what they hold is read back. It may be less than
    was logged, for W&B writes in blocks, and a kill loses the last one: see `fill`.

    Args:
        save_dir: The run's folder.
        id: The run's id; the same for all its parts.
        **kwargs: The other arguments of Lightning's logger and of `wandb.init`.
    """

    def __init__(self, save_dir: str, id: str | None = None, **kwargs: Any) -> None:  # noqa: A002
        super().__init__(save_dir=save_dir, id=id, **kwargs)
        if self._wandb_init.get("anonymous") is None:
            # Current versions of wandb warn of it, whatever its value.
            self._wandb_init.pop("anonymous", None)
        self._logged = logged_metrics(Path(save_dir) / "wandb", id) if id else set()

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Logs the metrics that no earlier part holds for this step."""
        new = {name: value for name, value in metrics.items() if (step, name) not in self._logged}
        if new:
            super().log_metrics(new, step)

    def fill(self, rows: Iterable[tuple[int, Mapping[str, float]]]) -> None:
        """Logs what the run's history holds and no earlier part does: a kill has lost it.

        A server may have got more than the files hold, so this is for runs offline alone.
        """
        if self._wandb_init.get("mode") == "offline":
            for step, metrics in rows:
                self.log_metrics(metrics, step)


def logged_metrics(folder: Path, run_id: str) -> set[tuple[int, str]]:
    """Lists what the offline parts of a run hold: (global step, metric)."""
    return {
        (int(row[GLOBAL_STEP]), name)
        for row in offline_history(folder, run_id)
        if GLOBAL_STEP in row
        for name in row
    }


def offline_history(folder: Path, run_id: str) -> Iterator[dict[str, Any]]:
    """Yields the history rows of a run's offline parts, in the order of the parts."""
    from wandb.proto.wandb_internal_pb2 import Record  # type: ignore[attr-defined]

    for file in sorted(folder.glob(f"offline-run-*/run-{run_id}.wandb")):
        for message in _records(file.read_bytes()):
            record = Record()
            record.ParseFromString(message)
            if record.WhichOneof("record_type") == "history":
                yield {
                    item.key or "/".join(item.nested_key): json.loads(item.value_json)
                    for item in record.history.item
                }


def _records(content: bytes) -> Iterator[bytes]:
    """Splits a LevelDB log, such as W&B's offline file, into its records, to where it is cut."""
    place = FILE_HEADER_SIZE
    parts = b""
    while place + RECORD_HEADER.size <= len(content):
        left_in_block = BLOCK_SIZE - place % BLOCK_SIZE
        if left_in_block < RECORD_HEADER.size:
            place += left_in_block
            continue
        _, length, kind = RECORD_HEADER.unpack_from(content, place)
        place += RECORD_HEADER.size
        part = content[place : place + length]
        if kind not in (FULL, FIRST, MIDDLE, LAST) or len(part) < length:
            return
        place += length
        parts = part if kind in (FULL, FIRST) else parts + part
        if kind in (FULL, LAST):
            yield parts
