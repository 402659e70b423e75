"""From an encoder's configuration to the encoder."""

import inspect
from importlib import import_module
from typing import cast

from torch import nn

from clozekit.config.encoder import EncoderConfig
from clozekit.errors import ConfigError
from clozekit.models.encoder import Encoder
from clozekit.models.encoder_protocol import EncoderProtocol

NEEDED = (
    "config",
    "embeddings.token_embeddings",
    "blocks",
    "pooler",
    "activation_checkpointing",
)
"""The attributes of `EncoderProtocol` that not every `torch.nn.Module` has."""


def make_encoder(config: EncoderConfig, add_pooling_layer: bool = True) -> EncoderProtocol:
    """Makes the encoder that a configuration describes, its weights drawn.

    Args:
        config: The configuration; `vocab_size` must be given.
        add_pooling_layer: Whether to compute `pooled_output`, for tasks on whole sequences.

    Raises:
        ConfigError: The class cannot be imported, or has not what `EncoderProtocol` lists.
        ValueError: If the configuration has no `vocab_size`.
    """
    kind = encoder_class(config.target)
    if kind is Encoder:
        return Encoder(config, add_pooling_layer)
    name = f"encoder._target_={config.target}"
    try:
        inspect.signature(kind).bind(config, add_pooling_layer=add_pooling_layer)
    except TypeError as error:
        raise ConfigError(
            f"{name}: its constructor must take (config, add_pooling_layer), but: {error}"
        ) from error
    encoder = kind(config, add_pooling_layer=add_pooling_layer)
    missing = [attribute for attribute in NEEDED if not _has(encoder, attribute)]
    if missing:
        raise ConfigError(
            f"{name}: it has no {', '.join(missing)}; clozekit.models.EncoderProtocol lists what "
            "an encoder needs"
        )
    return cast(EncoderProtocol, encoder)


def encoder_class(target: str) -> type[nn.Module]:
    """Gives the class that `encoder._target_` names.

    The name may come from a checkpoint, and importing a module runs its code. So every encoder is
    made through this function, and nothing else imports a class by such a name: what may be
    imported is decided here.

    Raises:
        ConfigError: There is no such class, or it is not a module of torch.
    """
    module_name, _, class_name = target.rpartition(".")
    try:
        found = getattr(import_module(module_name), class_name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"encoder._target_={target}: it cannot be imported ({error})") from error
    if not (isinstance(found, type) and issubclass(found, nn.Module)):
        raise ConfigError(f"encoder._target_={target}: it is not a class of torch.nn.Module")
    return found


def _has(encoder: object, attribute: str) -> bool:
    found: object = encoder
    for name in attribute.split("."):
        if not hasattr(found, name):
            return False
        found = getattr(found, name)
    return True
