"""Checkpoints that someone else has changed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from clozekit.runs.checkpoint_file import FORMAT_VERSION, META_KEY
from clozekit.runs.old_formats import translated

RECORDED = Path(__file__).parents[1] / "runs" / "format2"

Content = dict[str, Any]


def checkpoint_content(kind: str = "classification") -> Content:
    """The content of a checkpoint of a small model in the current format."""
    path = RECORDED / kind / "step-6.ckpt"
    content: Content = torch.load(path, weights_only=True)
    meta = content[META_KEY]
    meta["config"] = translated(meta["config"], meta["format_version"])
    meta["format_version"] = FORMAT_VERSION
    return content


def write_checkpoint(
    path: Path, change: Callable[[Content], Any] | None = None, kind: str = "classification"
) -> Path:
    """Writes a checkpoint.

    Args:
        path: The file.
        change: Changes the content.
        kind: `classification` or `pretraining`.
    """
    content = checkpoint_content(kind)
    if change is not None:
        change(content)
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(content, path)
    return path


def config_of(content: Content) -> dict[str, Any]:
    """The configuration in a checkpoint."""
    config: dict[str, Any] = content[META_KEY]["config"]
    return config


def touching(marker: Path) -> str:
    """Python code that creates a file."""
    return f"__import__('pathlib').Path({str(marker)!r}).touch()"


def calls(marker: Path) -> dict[str, dict[str, Any]]:
    """Groups that create a file when Hydra instantiates them; none is on Hydra's blocklist."""
    path = {"_target_": "pathlib.Path", "_args_": [str(marker)]}
    return {
        "sympify": {"_target_": "sympy.sympify", "a": touching(marker)},
        "touch": {"_target_": "pathlib.Path.touch", "_args_": [path]},
    }
