"""Classes of the user's own in a checkpoint need the user's trust in their module."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import clozekit
from clozekit.config.stored import classes
from clozekit.errors import ConfigError, UserError
from tests.security.strangers import (
    Content,
    calls,
    config_of,
    write_checkpoint,
)

Change = Callable[[Content], Any]


def use_own(content: Content) -> None:
    config = config_of(content)
    for group, name in (("task", "OwnTask"), ("data", "OwnData"), ("encoder", "OwnEncoder")):
        config[group]["_target_"] = f"own_classes.{name}"


def set_task(content: Content, target: str) -> None:
    config_of(content)["task"]["_target_"] = target


def test_a_users_own_classes_need_their_trust(own: str, tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / "a.ckpt", use_own)
    with pytest.raises(ConfigError, match=r"set trusted_modules=\[own_classes\]"):
        clozekit.load(path)
    model = clozekit.load(path, trusted_modules=[own])
    (prediction,) = model.predict(["the cow"])
    assert prediction["label"] in ("farm", "kitchen", "sea")
    assert type(model.predictor.module).__name__ == "OwnTask"  # type: ignore[union-attr]
    assert type(model.encoder).__name__ == "OwnEncoder"


def test_an_object_in_an_argument_needs_trust_too(own: str, tmp_path: Path, marker: Path) -> None:
    def change(extra: Any) -> Change:
        def apply(content: Content) -> None:
            use_own(content)
            config_of(content)["task"]["extra"] = extra

        return apply

    part = [{"_target_": "own_classes.Part", "size": 3}]
    path = write_checkpoint(tmp_path / "a.ckpt", change(part))
    module = clozekit.load(path, trusted_modules=[own]).predictor.module  # type: ignore[union-attr]
    assert module.extra[0].size == 3
    hostile: tuple[Any, ...] = (
        calls(marker)["sympify"],
        {"a": [calls(marker)["sympify"]]},
        {"_target_": "own_classes.system", "command": f"touch {marker}"},
        {"_target_": "own_classes.Part.__init__.__globals__", "a": 1},
        {"_target_": "own_classes.Part", "_args_": [1]},
        {"_target_": "own_classes.Part", "_partial_": True, "size": 1},
    )
    for extra in hostile:
        path = write_checkpoint(tmp_path / "a.ckpt", change(extra))
        with pytest.raises(UserError):
            clozekit.load(path, trusted_modules=[own])


def test_a_class_of_a_trusted_module_must_be_of_the_kind(own: str, tmp_path: Path) -> None:
    for name in ("Popen", "system", "Part", "Nothing"):
        path = write_checkpoint(
            tmp_path / "a.ckpt", lambda c, n=name: set_task(c, f"own_classes.{n}")
        )
        with pytest.raises(ConfigError, match=r"task\._target_=own_classes\.\w+ (is not|cannot)"):
            clozekit.load(path, trusted_modules=[own])


def test_trust_in_a_module_is_none_in_one_with_a_longer_name() -> None:
    assert classes.is_trusted("my_tasks.X", ["my_tasks"])
    assert classes.is_trusted("my_tasks.sub.X", ["my_tasks"])
    assert not classes.is_trusted("my_tasks_2.X", ["my_tasks"])
    assert not classes.is_trusted("other.my_tasks.X", ["my_tasks"])
    assert not classes.is_trusted("my_tasks", ["my_tasks"])
