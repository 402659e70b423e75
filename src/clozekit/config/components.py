"""Early checks of the components that ship with clozekit, before the classes are imported."""

import os
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from clozekit.config.data import SCHEMAS
from clozekit.config.messages import of_validation
from clozekit.config.train import TrainConfig
from clozekit.errors import ConfigError


def check_components(config: TrainConfig) -> None:
    """Checks the data group's values and files, and W&B's account where it is needed.

    Raises:
        ConfigError: A value cannot be used.
        DataError: A file or folder is missing.
    """
    schema = SCHEMAS.get(config.data.target)
    if schema is not None:
        _parse("data", schema, config.data.model_extra or {}).check_files()
    wandb = config.logger.get("wandb")
    if wandb is not None:
        _check_wandb_account((wandb.model_extra or {}).get("mode"))


def _parse(group: str, schema: type[Any], values: dict[str, Any]) -> Any:
    try:
        return schema.model_validate(values)
    except ValidationError as error:
        raise ConfigError(_within(group, of_validation(error))) from error


def _within(group: str, message: str) -> str:
    prefixed = []
    for line in message.splitlines():
        is_unknown = line.startswith("unknown key '")
        prefixed.append(
            line.replace("unknown key '", f"unknown key '{group}.", 1)
            if is_unknown
            else f"{group}.{line}"
        )
    return "\n".join(prefixed)


def _check_wandb_account(mode: str | None) -> None:
    """Refuses an online run without a key, which would end in a prompt or a long wait."""
    if mode != "online" or os.environ.get("WANDB_API_KEY"):
        return
    netrc = Path(os.environ.get("NETRC", Path.home() / ".netrc"))
    if not (netrc.is_file() and "wandb" in netrc.read_text(encoding="utf-8", errors="replace")):
        raise ConfigError(
            "logger.wandb.mode=online (from WANDB_MODE) needs WANDB_API_KEY or `wandb login`; "
            "offline needs neither"
        )
