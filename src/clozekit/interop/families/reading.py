"""What the families share in reading a `config.json`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from clozekit.config.encoder import EncoderConfig
from clozekit.config.messages import of_validation
from clozekit.errors import DataError


def refuse_other_values(config: Mapping[str, Any], file: Path, **needed: Any) -> None:
    """Checks the keys that may be missing, but must not have another value.

    Raises:
        DataError: One has.
    """
    for key, value in needed.items():
        if (given := config.get(key, value)) != value:
            raise DataError(f"{file}: {key}={given}; only {value} is supported")


def encoder_config(values: Mapping[str, Any], file: Path) -> EncoderConfig:
    """Makes the configuration of the encoder.

    Raises:
        DataError: A value is not valid.
    """
    try:
        return EncoderConfig.model_validate(dict(values))
    except ValidationError as error:
        raise DataError(f"{file}: {of_validation(error)}".replace("\n", "; ")) from error
