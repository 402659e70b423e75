"""Early checks of loggers, which would otherwise prompt, wait for minutes or fail late."""

import configparser
import os
import ssl
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from pydantic import StrictBool, StrictStr

from clozekit.config.checks.checking import checked
from clozekit.config.groups import Component
from clozekit.config.paths import PathText
from clozekit.config.train import TrainConfig
from clozekit.config.values import as_yaml
from clozekit.errors import ConfigError

SERVER_SECONDS = 5.0
WANDB_SERVER = "https://api.wandb.ai"


class CSVConfig(Component):
    """The arguments of `clozekit.runs.csv_history.CSVHistory`."""

    path: PathText


class WandbConfig(Component):
    """The arguments of W&B's logger that are checked here; it has others."""

    project: StrictStr | None = None
    group: StrictStr | None = None
    name: StrictStr | None = None
    save_dir: PathText | None = None
    mode: Literal["online", "offline", "disabled", "shared"] | None = None
    log_model: StrictBool | Literal["all"] | None = None


class TensorBoardConfig(Component):
    """The arguments of TensorBoard's logger that are checked here; it has others."""

    save_dir: PathText


SCHEMAS: dict[str, type[Component]] = {
    "clozekit.runs.csv_history.CSVHistory": CSVConfig,
    "clozekit.training.wandb.WandbLogger": WandbConfig,
    "clozekit.training.tensorboard.TensorBoardLogger": TensorBoardConfig,
}
"""Schemas by logger class."""


def check_loggers(config: TrainConfig) -> None:
    """Checks the loggers' arguments, and what they need: W&B credentials, the package tensorboard.

    Raises:
        ConfigError: One is missing, or checkpoints should be uploaded in offline mode.
    """
    for name, component in config.logger.items():
        if component is not None and component.target in SCHEMAS:
            checked(f"logger.{name}", SCHEMAS[component.target], component.arguments())
    if (wandb := _arguments(config, "wandb")) is not None:
        if wandb.get("mode") == "online":
            _check_account()
        elif wandb.get("log_model"):
            raise ConfigError(
                f"logger.wandb.log_model={as_yaml(wandb['log_model'])} uploads checkpoints and "
                "requires WANDB_MODE=online"
            )
    if _arguments(config, "tensorboard") is not None and not (
        find_spec("tensorboard") or find_spec("tensorboardX")
    ):
        raise ConfigError(
            "logger=tensorboard requires tensorboard: run pip install 'clozekit[tensorboard]'"
        )


def check_server(config: TrainConfig) -> None:
    """Checks that W&B's server responds if the run is online. W&B itself would wait for minutes.

    Raises:
        ConfigError: The server does not respond.
    """
    wandb = _arguments(config, "wandb")
    if wandb is None or wandb.get("mode") != "online":
        return
    url = _wandb_server()
    try:
        urlopen(url, timeout=SERVER_SECONDS).close()
    except HTTPError:
        return  # the server responded
    except (OSError, ValueError) as error:
        reason = error.reason if isinstance(error, URLError) else error
        if isinstance(reason, ssl.SSLError):
            return  # the server responded; W&B has its own certificate settings
        raise ConfigError(
            f"logger.wandb.mode=online (from WANDB_MODE): {url} cannot be reached ({reason}); "
            "WANDB_MODE=offline does not need a server, and `wandb sync` uploads the run later"
        ) from error


def _arguments(config: TrainConfig, name: str) -> dict[str, Any] | None:
    component = config.logger.get(name)
    return None if component is None else component.model_extra or {}


def _check_account() -> None:
    if os.environ.get("WANDB_API_KEY"):
        return
    netrc = Path(os.environ.get("NETRC", Path.home() / ".netrc"))
    if not (netrc.is_file() and "wandb" in netrc.read_text(encoding="utf-8", errors="replace")):
        raise ConfigError(
            "logger.wandb.mode=online (from WANDB_MODE) requires WANDB_API_KEY or `wandb login`; "
            "WANDB_MODE=offline needs neither"
        )


def _wandb_server() -> str:
    """Returns the server from the environment or `wandb login --host`, or else the public one."""
    if given := os.environ.get("WANDB_BASE_URL"):
        return given
    folder = Path(os.environ.get("WANDB_CONFIG_DIR", Path.home() / ".config" / "wandb"))
    settings = configparser.ConfigParser(interpolation=None)
    try:
        settings.read(folder / "settings", encoding="utf-8")
    except configparser.Error:
        return WANDB_SERVER
    return settings.get("default", "base_url", fallback=WANDB_SERVER)
