"""Weights & Biases logging: offline by default, and one W&B run over all resumes."""

import json
import os
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
"""Seconds to wait for a server to answer, and to receive the remaining data at the end.

Data that it has not received then is kept in the run's folder for `wandb sync`.
"""


class WandbLogger(LightningWandbLogger):
    """Lightning's logger, without duplicates after a resume.

    A killed run may have logged steps after its last checkpoint, and the resumed run repeats them.
    Offline, each part of the run has its own file. The files of earlier parts are read, and their
    steps are not logged again. They may have less than was logged, because W&B writes in blocks and
    a kill loses the last block; see `fill`.

    Args:
        save_dir: The run's folder.
        id: The run's id; the same for all its parts.
        log_model: Whether to upload the final checkpoints as an artifact of the run, if online.
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
        # W&B's own process may have been started in another working directory.
        save_dir = str(Path(save_dir).absolute())
        # Lightning's `log_model` only supports its own checkpoint callback.
        super().__init__(save_dir=save_dir, id=id, log_model=False, **kwargs)
        self.log_model = log_model
        if agents_run_id() is not None:
            # The agent has set them in the environment; W&B would warn about ours.
            for name in ("id", "project", "entity"):
                self._wandb_init.pop(name, None)
        if self._wandb_init.get("anonymous") is None:
            # Current versions of wandb warn about this argument, whatever its value.
            self._wandb_init.pop("anonymous", None)
        self._logged = logged_metrics(Path(save_dir) / "wandb", id) if id else set()

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The W&B run, started on first use.

        Raises:
            ConfigError: W&B rejects the run or does not answer.
        """
        import wandb

        try:
            return super().experiment
        except wandb.Error as error:
            message = " ".join(str(error).split())
            raise ConfigError(
                f"logger.wandb: {message}; set WANDB_MODE=offline to log without a server"
            ) from error

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Logs the metrics that no earlier part has logged for this step."""
        new = {name: value for name, value in metrics.items() if (step, name) not in self._logged}
        if new:
            super().log_metrics(new, step)

    @rank_zero_only
    def log_checkpoints(self, paths: Iterable[Path], step: int) -> None:
        """Uploads the checkpoints that exist as an artifact, if `log_model` is set."""
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
        """Ends this part of the run, if started, with the exit code of the process."""
        run = self._experiment
        if run is None:
            return
        if exit_code == PREEMPTED:
            run.mark_preempting()
        run.finish(exit_code=exit_code)

    def fill(self, rows: Iterable[tuple[int, Mapping[str, float]]]) -> None:
        """Logs rows of the run's history that were lost in a kill.

        Only for offline runs: a server may have received more than the files have.
        """
        if self._wandb_init.get("mode") == "offline":
            for step, metrics in rows:
                self.log_metrics(metrics, step)


def agents_run_id() -> str | None:
    """Returns the run id that `wandb agent` has chosen; None if no agent started the process."""
    return os.environ.get("WANDB_RUN_ID") if os.environ.get("WANDB_SWEEP_ID") else None


def logged_metrics(folder: Path, run_id: str) -> set[tuple[int, str]]:
    """Returns the (global step, metric) pairs in the files of a run's offline parts."""
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
    """Yields all records of a run's offline parts, as messages of W&B's protocol."""
    from wandb.proto.wandb_internal_pb2 import Record  # type: ignore[attr-defined]

    for file in sorted(folder.glob(f"offline-run-*/run-{run_id}.wandb")):
        for message in _records(file.read_bytes()):
            record = Record()
            record.ParseFromString(message)
            yield record


def _records(content: bytes) -> Iterator[bytes]:
    """Splits a LevelDB log, the format of W&B's offline files, into its complete records."""
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
