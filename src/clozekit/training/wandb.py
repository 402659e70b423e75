"""Weights & Biases, offline unless told otherwise, one run over all resumptions."""

import json
import struct
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.fabric.utilities.rank_zero import rank_zero_only
from lightning.pytorch.loggers import WandbLogger as LightningWandbLogger

from clozekit.errors import ConfigError
from clozekit.exit_codes import PREEMPTED

BLOCK_SIZE = 32768
FILE_HEADER_SIZE = 7
RECORD_HEADER = struct.Struct("<IHB")
FULL, FIRST, MIDDLE, LAST = range(1, 5)
GLOBAL_STEP = "trainer/global_step"

TIMEOUTS = {"init_timeout": 20.0, "finish_timeout": 600.0}
"""Seconds that a server has to answer, and to take what is left at the end.

What it has not taken then is in the run's folder, for `wandb sync`.
"""


class WandbLogger(LightningWandbLogger):
    """Lightning's logger, which after a resumption logs nothing that an earlier part holds.

    A killed run has logged steps after its last checkpoint, and the resumed run comes by them
    again. Offline each part is a file of its own; what they hold is read back. It may be less than
    was logged, for W&B writes in blocks, and a kill loses the last one: see `fill`.

    Args:
        save_dir: The run's folder.
        id: The run's id; the same for all its parts.
        log_model: Whether the checkpoints at the end become an artifact of the run, online.
        **kwargs: The other arguments of Lightning's logger and of `wandb.init`, such as `project`,
            `group`, `tags` and `mode`.
    """

    def __init__(
        self,
        save_dir: str,
        id: str | None = None,  # noqa: A002
        log_model: bool = False,
        **kwargs: Any,
    ) -> None:
        import wandb

        known = wandb.Settings.model_fields
        settings = {name: value for name, value in TIMEOUTS.items() if name in known}
        kwargs["settings"] = {**settings, **(kwargs.get("settings") or {})}
        # Lightning's own waits for a callback that clozekit's checkpoints are not.
        super().__init__(save_dir=save_dir, id=id, log_model=False, **kwargs)
        self.log_model = log_model
        if self._wandb_init.get("anonymous") is None:
            # Current versions of wandb warn of it, whatever its value.
            self._wandb_init.pop("anonymous", None)
        self._logged = logged_metrics(Path(save_dir) / "wandb", id) if id else set()

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The run of W&B, begun at the first use.

        Raises:
            ConfigError: W&B refuses it, or does not answer.
        """
        import wandb

        try:
            return super().experiment
        except wandb.Error as error:
            told = " ".join(str(error).split())
            raise ConfigError(
                f"logger.wandb: {told}; WANDB_MODE=offline needs no server"
            ) from error

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Logs the metrics that no earlier part holds for this step."""
        new = {name: value for name, value in metrics.items() if (step, name) not in self._logged}
        if new:
            super().log_metrics(new, step)

    @rank_zero_only
    def log_checkpoints(self, paths: Iterable[Path], step: int) -> None:
        """Makes an artifact of the checkpoints that are there, where `log_model` asks for it."""
        if not self.log_model:
            return
        import wandb

        artifact = wandb.Artifact(f"model-{self._id}", "model", metadata={"step": step})
        for path in paths:
            if path.exists():
                artifact.add_file(str(path), name=path.name)
        self.experiment.log_artifact(artifact, aliases=["latest", f"step-{step}"])

    @rank_zero_only
    def finish(self, exit_code: int) -> None:
        """Ends this part of the run, if it was begun, with the exit code of the process."""
        run = self._experiment
        if run is None:
            return
        if exit_code == PREEMPTED:
            run.mark_preempting()
        run.finish(exit_code=exit_code)

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
    for record in offline_records(folder, run_id):
        if record.WhichOneof("record_type") == "history":
            yield {
                item.key or "/".join(item.nested_key): json.loads(item.value_json)
                for item in record.history.item
            }


def offline_records(folder: Path, run_id: str) -> Iterator[Any]:
    """Yields all records of a run's offline parts, as W&B's protocol has them."""
    from wandb.proto.wandb_internal_pb2 import Record  # type: ignore[attr-defined]

    for file in sorted(folder.glob(f"offline-run-*/run-{run_id}.wandb")):
        for message in _records(file.read_bytes()):
            record = Record()
            record.ParseFromString(message)
            yield record


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
