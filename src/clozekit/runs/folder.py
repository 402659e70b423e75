"""The folder of a run, and the record of how it was run."""

import json
import os
import secrets
import shlex
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import yaml

from clozekit import __version__
from clozekit.errors import ConfigError
from clozekit.files import write_json, write_text
from clozekit.output.display import warn

FORMAT_VERSION = 1
RUN_LOCK = ".run.lock"
"""The file that is locked while a process trains the run."""
RECORDED_PACKAGES = (
    "torch",
    "lightning",
    "hydra-core",
    "torchmetrics",
    "wandb",
    "tokenizers",
    "numpy",
    "pyarrow",
)


@dataclass(frozen=True)
class RunFolder:
    """The folder with all files of a run.

    Attributes:
        path: The path of the folder.
        id: The id of the run, used by loggers too. It stays the same when the run is resumed.
    """

    path: Path
    id: str = field(default_factory=lambda: secrets.token_hex(4))

    @classmethod
    def at(cls, path: Path, saved_id: str | None = None) -> "RunFolder":
        """Opens a folder, with the id from its record.

        Args:
            path: The path of the folder.
            saved_id: The id in the run's checkpoint, which is used if the record is damaged.
        """
        folder = cls(path)
        record = folder.read_record()
        if record is None:
            return folder if saved_id is None else cls(path, saved_id)
        return cls(path, record["id"])

    def read_record(self) -> dict[str, Any] | None:
        """Reads the record; returns None if there is none or it is damaged."""
        try:
            record = json.loads(self.record_file.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError, RecursionError):
            return None
        is_whole = (
            isinstance(record, dict)
            and isinstance(record.get("id"), str)
            and isinstance(record.get("resumed"), list)
        )
        return record if is_whole else None

    @property
    def checkpoints(self) -> Path:
        """The folder of checkpoints."""
        return self.path / "checkpoints"

    @property
    def last_checkpoint(self) -> Path:
        """The newest checkpoint."""
        return self.checkpoints / "last.ckpt"

    @property
    def best_checkpoint(self) -> Path:
        """The best checkpoint by the monitored metric."""
        return self.checkpoints / "best.ckpt"

    @property
    def config_file(self) -> Path:
        """The resolved configuration."""
        return self.path / "config.yaml"

    @property
    def record_file(self) -> Path:
        """The command, time and versions of the run."""
        return self.path / "run.json"

    @property
    def metrics_file(self) -> Path:
        """The history of logged metrics."""
        return self.path / "metrics.csv"

    @property
    def results_file(self) -> Path:
        """The final metrics."""
        return self.path / "results.json"

    @property
    def curves_file(self) -> Path:
        """The plot of the history."""
        return self.path / "curves.png"

    @property
    def tokenizer_file(self) -> Path:
        """The tokenizer of the run."""
        return self.path / "tokenizer.json"

    def create(
        self,
        config: dict[str, Any],
        monitored: tuple[str, str] | None = None,
        facts: dict[str, Any] | None = None,
    ) -> None:
        """Makes a new run's folder with its configuration and record.

        Args:
            config: The run's configuration.
            monitored: The metric that selects the best checkpoint, and its mode, `min` or `max`.
            facts: More entries of the record.

        Raises:
            ConfigError: The folder exists and is not empty.
        """
        refuse_existing(self.path)
        self.path.mkdir(parents=True, exist_ok=True)
        started = {"id": self.id, **_monitor(monitored), **_record(), **(facts or {})}
        self._write(config, {**started, "resumed": []})

    def reopen(
        self,
        config: dict[str, Any],
        source: str | None,
        monitored: tuple[str, str] | None = None,
        facts: dict[str, Any] | None = None,
    ) -> None:
        """Records in a run's folder that the run is resumed; makes the folder if needed.

        Args:
            config: The configuration of the resumed run.
            source: The step and the checkpoint; None if there is none and the run starts from step
                0.
            monitored: The metric that selects the best checkpoint, and its mode, `min` or `max`.
            facts: More entries of the record; they replace those of an earlier start.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        facts = facts or {}
        started = {"id": self.id, **_monitor(monitored), **_record(), **facts}
        resumed = {"from": source, **_record()}
        record = {**started, "resumed": []}
        earlier = self.read_record()
        if earlier is not None:
            record = {**earlier, **facts, "resumed": [*earlier["resumed"], resumed]}
        elif self.record_file.exists():
            set_aside(self.record_file)
            record = {**started, "resumed": [resumed]}
        self._write(config, record)

    def _write(self, config: dict[str, Any], record: dict[str, Any]) -> None:
        write_text(self.config_file, yaml.safe_dump(config, sort_keys=False, allow_unicode=True))
        write_json(self.record_file, record)


def run_of(checkpoint: Path) -> RunFolder | None:
    """Returns the folder of a checkpoint's run; None if the file was moved out of its run."""
    file = checkpoint.resolve()
    folder = RunFolder(file.parent.parent)
    is_in_run = folder.checkpoints == file.parent and folder.config_file.is_file()
    return folder if is_in_run else None


def refuse_existing(path: Path) -> None:
    """Checks that a run's folder does not exist or is empty.

    Raises:
        ConfigError: The folder exists and is not empty.
    """
    try:
        exists = is_taken(path)
    except OSError as error:
        raise ConfigError(f"the run's folder {str(path)[:60]}…: {error.strerror}") from error
    if exists:
        raise ConfigError(f"the run {path} already exists; set name to another name")


def is_taken(path: Path) -> bool:
    """Whether a run's folder contains anything but the lock of a start that was killed."""
    if not path.is_dir():
        return path.exists()
    return any(entry.name != RUN_LOCK for entry in path.iterdir())


def set_aside(file: Path) -> None:
    """Renames a damaged file of a run, which is written anew, and warns about it."""
    kept = file.with_name(f"{file.name}.damaged")
    os.replace(file, kept)
    warn(f"{file} is damaged; it is renamed to {kept.name} and begun anew")


def is_first_process() -> bool:
    """Whether this process is the first of its run; works before Lightning is imported."""
    return variable_of_rank() is None


def variable_of_rank() -> str | None:
    """Returns the variable by which this is not the first process of its run, if there is one."""
    names = ("RANK",) if "RANK" in os.environ else ("SLURM_PROCID", "NODE_RANK", "LOCAL_RANK")
    return next((name for name in names if os.environ.get(name, "0") != "0"), None)


def versions() -> dict[str, Any]:
    """Returns the versions of clozekit, its commit, Python and packages."""
    return {
        "clozekit": __version__,
        "commit": _commit(),
        "python": sys.version.split()[0],
        "packages": {name: _version(name) for name in RECORDED_PACKAGES},
    }


def _monitor(monitored: tuple[str, str] | None) -> dict[str, str]:
    return {} if monitored is None else {"monitor": monitored[0], "monitor_mode": monitored[1]}


def _record() -> dict[str, Any]:
    return {
        "format_version": FORMAT_VERSION,
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        **versions(),
    }


def _commit() -> str | None:
    """Returns the commit of the checkout that the package runs from, with `-dirty` if changed."""
    checkout = Path(__file__).resolve().parents[3]
    if not (checkout / ".git").exists():
        return None
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40"],
            cwd=checkout,
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return described.stdout.strip()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
