"""The families of published encoders that are read and written. Each has a file of its own."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clozekit.config.encoder import EncoderConfig
from clozekit.errors import ConfigError, DataError
from clozekit.interop.families.bert import BERT
from clozekit.interop.families.distilbert import DISTILBERT
from clozekit.interop.families.electra import ELECTRA
from clozekit.interop.families.family import Family
from clozekit.interop.families.modernbert import MODERNBERT
from clozekit.interop.families.roberta import CAMEMBERT, ROBERTA, XLM_ROBERTA
from clozekit.output.display import printable

FAMILIES = (BERT, ROBERTA, XLM_ROBERTA, CAMEMBERT, DISTILBERT, ELECTRA, MODERNBERT)
"""All families. Of those with the same parts, the first is written by default."""

_HINTS = {
    "albert": "its layers share their weights",
    "deberta": "its attention has relative positions",
    "deberta-v2": "its attention has relative positions",
    "mpnet": "its attention has relative positions",
    "roberta-prelayernorm": "it normalizes before each sub-layer",
    "xlm-roberta-xl": "it normalizes before each sub-layer",
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
    given = printable(str(model_type))
    raise DataError(f"{file}: model_type={given}{because}; only {_names()} are supported")


def family_of_encoder(encoder: EncoderConfig) -> Family | None:
    """Returns the family as which an encoder is written; None if there is none.

    It has the encoder's parts, and `model_type` if that is given.
    """
    given = encoder.model_type
    return next(
        (
            family
            for family in FAMILIES
            if given in (None, family.model_type) and family.has_parts_of(encoder)
        ),
        None,
    )


def check_model_type(encoder: EncoderConfig) -> None:
    """Checks that the family that is given by name has the parts of the encoder.

    Raises:
        ConfigError: It has not, or there is no such family.
    """
    given = encoder.model_type
    if given is None or family_of_encoder(encoder) is not None:
        return
    if given not in {family.model_type for family in FAMILIES}:
        raise ConfigError(f"encoder.model_type={given}; only {_names()} are supported")
    raise ConfigError(
        f"encoder.model_type={given} has other parts than this encoder, with "
        f"{parts_in_words(encoder)}"
    )


def parts_in_words(encoder: EncoderConfig) -> str:
    """Returns the keys in which an encoder may differ from the families, for messages."""
    parts = encoder.other_parts()
    defaults = EncoderConfig()
    for key in ("hidden_act", "layer_norm_eps"):
        if (value := getattr(encoder, key)) != getattr(defaults, key):
            parts[key] = value
    if encoder.model_type is not None:
        parts["model_type"] = encoder.model_type
    return ", ".join(f"{key}={value}" for key, value in parts.items()) or "the parts of bert"


def _names() -> str:
    *first, last = (family.model_type for family in FAMILIES)
    return f"{', '.join(first)} and {last}"
