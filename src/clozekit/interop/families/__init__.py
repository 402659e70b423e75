"""The families of published encoders that are read and written. Each has a file of its own."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clozekit.config.encoder import EncoderConfig
from clozekit.errors import DataError
from clozekit.interop.families.bert import BERT
from clozekit.interop.families.family import Family
from clozekit.interop.families.modernbert import MODERNBERT

FAMILIES = (BERT, MODERNBERT)

_HINTS = {
    "albert": "its layers share their weights",
    "roberta": "its positions start after pad_token_id",
    "xlm-roberta": "its positions start after pad_token_id",
    "camembert": "its positions start after pad_token_id",
}
"""Why a model of another type is not read."""


def family_of_config(config: Mapping[str, Any], file: Path) -> Family:
    """Returns the family of a model by its `config.json`.

    Raises:
        DataError: It is another family.
    """
    model_type = config.get("model_type", BERT.model_type)
    for family in FAMILIES:
        if family.model_type == model_type:
            return family
    hint = _HINTS.get(model_type) if isinstance(model_type, str) else None
    because = f" ({hint})" if hint else ""
    supported = " and ".join(family.model_type for family in FAMILIES)
    raise DataError(f"{file}: model_type={model_type}{because}; only {supported} are supported")


def family_of_encoder(encoder: EncoderConfig) -> Family | None:
    """Returns the family that has the parts of an encoder; None if there is none."""
    return next((family for family in FAMILIES if family.has_parts_of(encoder)), None)
