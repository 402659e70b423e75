"""What the families share in reading a `config.json`."""

import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from clozekit.config.composition.messages import of_validation
from clozekit.config.encoder import EncoderConfig
from clozekit.errors import DataError
from clozekit.output.display import printable

ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_python": "gelu",
    # The same function in four implementations that differ only by rounding.
    "gelu_new": "gelu_pytorch_tanh",
    "gelu_fast": "gelu_pytorch_tanh",
    "gelu_accurate": "gelu_pytorch_tanh",
    "gelu_pytorch_tanh": "gelu_pytorch_tanh",
}
"""clozekit's name for each activation of transformers."""

EXACT_GELU = ("gelu", "gelu_python")
"""The names of the activation that is not approximated."""


ABSOLUTE_ENCODER: dict[str, Any] = {
    "position_embedding_type": "absolute",
    "is_decoder": False,
    "add_cross_attention": False,
}
"""Keys of BERT and of families like it that must have these values, for `refuse_other_values`."""


def activation(
    config: Mapping[str, Any], key: str, file: Path, allowed: Collection[str] = tuple(ACTIVATIONS)
) -> str:
    """Reads the activation of the feed-forward layers, by clozekit's name.

    Raises:
        DataError: It is not supported.
    """
    given = config.get(key, "gelu")
    if not isinstance(given, str) or given not in allowed:
        names = ", ".join(allowed)
        raise DataError(f"{file}: {key}={printable(str(given))}; only {names} are supported")
    return ACTIVATIONS[given]


def same_keys(config: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the keys of a `config.json` that clozekit's configuration has with the same name."""
    return {key: config[key] for key in EncoderConfig().published() if key in config}


def written_same_keys(encoder: EncoderConfig) -> dict[str, Any]:
    """Returns the keys that all families with BERT's words have in common."""
    return encoder.model_dump(include=set(EncoderConfig().published()))


def refuse_other_values(config: Mapping[str, Any], file: Path, **needed: Any) -> None:
    """Checks the keys that may be missing, but must not have another value.

    Raises:
        DataError: One has.
    """
    for key, value in needed.items():
        if (given := config.get(key, value)) != value:
            raise DataError(f"{file}: {key}={printable(str(given))}; only {value} is supported")


def encoder_config(
    values: Mapping[str, Any], file: Path, names: Mapping[str, str] | None = None
) -> EncoderConfig:
    """Makes the configuration of the encoder.

    Args:
        values: The values by clozekit's keys.
        file: The file that they are from, for messages.
        names: The keys in the file that have another name there.

    Raises:
        DataError: A value is not valid.
    """
    if values.get("vocab_size") is None:
        raise DataError(f"{file}: vocab_size=None; it should be the number of token ids")
    try:
        return EncoderConfig.model_validate({"classifier_pooling": "cls", **values})
    except ValidationError as error:
        problem = of_validation(error).replace("\n", "; ")
        for ours, theirs in (names or {}).items():
            problem = re.sub(rf"\b{ours}\b", theirs, problem)
        raise DataError(f"{file}: {problem}") from error
