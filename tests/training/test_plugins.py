"""Plugins of Lightning's that a run cannot use are refused by name before training."""

from typing import Any

import pytest

from clozekit.errors import ConfigError
from clozekit.training.trainer import _make_plugins
from tests.programs.commands import train_config

PLUGINS = "lightning.pytorch.plugins"


def made(plugin: str) -> list[Any]:
    given = ("name=x", "data.path=x", "max_steps=1")
    return _make_plugins(train_config(*given, f"+trainer.plugins={plugin}"))


@pytest.mark.parametrize(
    ("plugin", "message"),
    [
        (f"{{_target_: {PLUGINS}.io.AsyncCheckpointIO}}", "AsyncCheckpointIO is not supported"),
        (f"[{{_target_: {PLUGINS}.io.AsyncCheckpointIO}}]", "AsyncCheckpointIO is not supported"),
        (
            f"{{_target_: {PLUGINS}.precision.HalfPrecision, precision: bf16-true}}",
            "HalfPrecision is a precision, which is set by trainer.precision",
        ),
    ],
)
def test_a_plugin_that_a_run_cannot_use_is_refused(plugin: str, message: str) -> None:
    with pytest.raises(ConfigError, match=rf"trainer\.plugins: {message}"):
        made(plugin)


def test_other_plugins_are_used() -> None:
    plugins = made(f"{{_target_: {PLUGINS}.io.TorchCheckpointIO}}")
    assert type(plugins[0]).__name__ == "TorchCheckpointIO"
