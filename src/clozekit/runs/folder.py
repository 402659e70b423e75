"""The folder of a run, and the record of what was run."""

import json
import os
import shlex
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import yaml

from clozekit import __version__
from clozekit.errors import ConfigError

FORMAT_VERSION = 1
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
    """Where everything of a run lies.

    Attributes:
        path: The folder itself.
    """

    path: Path

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
    def metrics_file(self) -> Path:
        """The history of logged metrics."""
        return self.path / "metrics.csv"

    @property
    def results_file(self) -> Path:
        """The metrics at the end."""
        return self.path / "results.json"

    @property
    def curves_file(self) -> Path:
        """The picture of the history."""
        return self.path / "curves.png"

    @property
    def tokenizer_file(self) -> Path:
        """The tokenizer that the run reads text with."""
        return self.path / "tokenizer.json"

    @classmethod
    def create(cls, path: Path, config: dict[str, Any]) -> "RunFolder":
        """Makes a new run's folder with its configuration and record.

        Raises:
            ConfigError: The folder holds something already.
        """
        refuse_existing(path)
        path.mkdir(parents=True, exist_ok=True)
        folder = cls(path)
        write_text(folder.config_file, yaml.safe_dump(config, sort_keys=False, allow_unicode=True))
        write_json(path / "run.json", _record())
        return folder


def refuse_existing(path: Path) -> None:
    """Checks that a run's name is free.

    Raises:
        ConfigError: The folder holds something already.
    """
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise ConfigError(f"the run {path} is there already: give another name=…")


def is_first_process() -> bool:
    """Whether this process is the first of its run, before Lightning or torch are imported."""
    ranks = (os.environ.get(name) for name in ("RANK", "SLURM_PROCID", "LOCAL_RANK"))
    return next((rank for rank in ranks if rank is not None), "0") == "0"


def write_json(path: Path, value: Any) -> None:
    """Writes a JSON file whole or not at all."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Writes a file whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


def _record() -> dict[str, Any]:
    return {
        "format_version": FORMAT_VERSION,
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "clozekit": __version__,
        "commit": _commit(),
        "python": sys.version.split()[0],
        "packages": {name: _version(name) for name in RECORDED_PACKAGES},
    }


def _commit() -> str | None:
    """Gives the commit of the checkout that the package runs from, marked where it was changed."""
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
