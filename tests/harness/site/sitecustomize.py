"""Hides libraries that only tests need from the commands that they start.

Python imports this module when a process starts. torchmetrics imports these libraries if they are
installed, which takes almost half of the time to start a command. Users need not have them.
"""

import sys
from importlib import metadata

HIDDEN = ("scipy", "transformers")

_distribution_of = metadata.Distribution.from_name


def _visible_distribution(name: str) -> metadata.Distribution:
    if name in HIDDEN:
        raise metadata.PackageNotFoundError(name)
    return _distribution_of(name)


def hide() -> None:
    """Lets the libraries look as if they were not installed."""
    metadata.Distribution.from_name = _visible_distribution  # type: ignore[method-assign, assignment]
    for hidden in HIDDEN:
        sys.modules[hidden] = None  # type: ignore[assignment]


def show() -> None:
    """Lets this process import them from here on."""
    metadata.Distribution.from_name = _distribution_of  # type: ignore[method-assign]
    for hidden in HIDDEN:
        del sys.modules[hidden]


hide()
