"""Pretrain BERT on your own text, fine-tune it on your own task, sweep it, resume it."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clozekit.config.encoder import EncoderConfig
    from clozekit.loading import load
    from clozekit.models.encoder import Encoder

__version__ = "0.1.0"
__all__ = ["Encoder", "EncoderConfig", "__version__", "load"]

_HOMES = {
    "Encoder": "clozekit.models.encoder",
    "EncoderConfig": "clozekit.config.encoder",
    "load": "clozekit.loading",
}


def __getattr__(name: str) -> Any:
    """Imports a public name at its first use, so that importing the package is fast."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
