"""Makes an encoder from its configuration."""

import inspect
import traceback
from importlib import import_module
from pathlib import Path
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
    """Makes the encoder of a configuration, with randomly initialized weights.

    Args:
        config: The configuration; `vocab_size` must be given.
        add_pooling_layer: Whether to compute `pooled_output`, for tasks on whole sequences.

    Raises:
        ConfigError: The class cannot be imported, its constructor fails, or it does not match
            `EncoderProtocol`.
        ValueError: If the configuration has no `vocab_size`.
    """
    kind = encoder_class(config.target)
    if kind is Encoder:
        try:
            return Encoder(config, add_pooling_layer)
        except (MemoryError, RuntimeError) as error:
            if "memory" not in str(error).lower() and not isinstance(error, MemoryError):
                raise
            raise ConfigError("encoder: there is not enough memory for these sizes") from error
    name = f"encoder._target_={config.target}"
    try:
        inspect.signature(kind).bind(config, add_pooling_layer=add_pooling_layer)
    except TypeError as error:
        raise ConfigError(
            f"{name}: the constructor must take (config, add_pooling_layer), but: {error}"
        ) from error
    if kind.__init__ is nn.Module.__init__:
        raise ConfigError(f"{name} has no constructor that takes (config, add_pooling_layer)")
    try:
        encoder = kind(config, add_pooling_layer=add_pooling_layer)
    except Exception as error:
        # The place in the user's class, because there is no traceback in the message.
        frames = traceback.extract_tb(error.__traceback__)
        own_file = inspect.getfile(kind)
        last = next((f for f in reversed(frames) if f.filename == own_file), frames[-1])
        raise ConfigError(
            f"{name}: the constructor failed in {Path(last.filename).name}, line {last.lineno}: "
            f"{type(error).__name__}: {error}"
        ) from error
    missing = [attribute for attribute in NEEDED if not _has(encoder, attribute)]
    if missing:
        raise ConfigError(
            f"{name} has no {', '.join(missing)}; an encoder must have all attributes of "
            "clozekit.models.EncoderProtocol"
        )
    return cast(EncoderProtocol, encoder)


def encoder_class(target: str) -> type[nn.Module]:
    """Imports the class of `encoder._target_`.

    The name may come from a checkpoint, and importing a module runs its code. So this function is
    the only place that imports an encoder by name.

    Raises:
        ConfigError: The class does not exist, or is not a `torch.nn.Module`.
    """
    module_name, _, class_name = target.rpartition(".")
    try:
        found = getattr(import_module(module_name), class_name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"encoder._target_={target} cannot be imported: {error}") from error
    if not (isinstance(found, type) and issubclass(found, nn.Module)):
        raise ConfigError(f"encoder._target_={target} is not a torch.nn.Module class")
    return found


def _has(encoder: object, attribute: str) -> bool:
    found: object = encoder
    for name in attribute.split("."):
        if not hasattr(found, name):
            return False
        found = getattr(found, name)
    return True
