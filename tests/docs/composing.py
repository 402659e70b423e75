"""Checks a command of the documentation without running it."""

import re
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest
from hydra.core.override_parser.types import ChoiceSweep, QuotedString
from omegaconf import DictConfig

from clozekit import command, verbs
from clozekit.config import callbacks
from clozekit.config.checks import components
from clozekit.config.composition.options import is_multirun, parse_options
from clozekit.config.composition.overrides import as_overrides, parsed
from clozekit.config.registry import DATA
from tests.docs.pages import ROOT

ELLIPSIS = {
    "train": ("name=mine", "data.path=data/mine", "max_steps=1000"),
    "train on rows": ("name=mine", "data.train=a.csv", "data.tokenizer=a.json", "max_epochs=1"),
    "evaluate": ("checkpoint=runs/first", "input=rows.csv"),
    "predict": ("checkpoint=runs/first", "text=a"),
    "prepare": ("source.path=a.txt", "out=data/mine"),
}
"""What `…` in a command stands for; a key that the command has is left out."""


def check(words: list[str]) -> str:
    """Checks a command by its program; returns the program's name.

    Raises:
        AssertionError: The command is wrong.
    """
    while re.match(r"[A-Z_]+=", words[0]):
        words = words[1:]
    for mark in (">", "|", "&&"):
        words = words[: words.index(mark)] if mark in words else words
    program = words[0].rpartition("/")[2]
    assert program in CHECKS, f"no check of {words}"
    CHECKS[program](words[1:])
    return program


def check_clozekit(arguments: list[str]) -> None:
    """Composes and validates a command as the program does before its heavy imports."""
    verb, *rest = arguments
    if rest == ["--help"]:
        return
    given = {argument.partition("=")[0].lstrip("+~") for argument in rest}
    if "…" in rest:
        on_rows = "data" in given and "data=masked_lm" not in rest
        meant = ELLIPSIS[f"{verb} on rows" if on_rows else verb]
        more = [each for each in meant if each.partition("=")[0] not in given]
        rest = [*(each for each in rest if each != "…"), *more]
    if "from_run" in given and "data.path" not in given:
        rest = [*rest, "data.path=data/mine"]  # it is that of the other run
    options, _ = parse_options(verb, rest)
    if is_multirun(options):
        rest = [each for each in rest if each not in ("-m", "--multirun")]
        rest = [first_value(each) for each in as_overrides(verb, rest, is_multirun=True)]
    if verb == "train":
        rest = [*rest, "hydra.mode=RUN"]  # an experiment may be a sweep
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["clozekit", verb, *rest])
        patch.setitem(verbs.WORK, verb, validate(verb, patch))
        assert command.run_verb(verb) == 0


def first_value(override: str) -> str:
    """Returns the override of a sweep with the first of its values."""
    found = parsed(override)
    if found is None or not found.is_sweep_override():
        return override
    value: Any = found.value()
    first = value.list[0] if isinstance(value, ChoiceSweep) else value.start
    text = first.with_quotes() if isinstance(first, QuotedString) else first
    return f"{override.partition('=')[0]}={text}"


def validate(verb: str, patch: pytest.MonkeyPatch) -> Callable[[DictConfig], None]:
    """Makes what stands in for the work of a verb. The files of a command do not have to exist."""
    schema = getattr(import_module(f"clozekit.config.{verb}"), f"{verb.capitalize()}Config")
    for of_data in set(DATA.values()):
        patch.setattr(of_data, "check_files", lambda _: None)
    patch.setattr(callbacks.ProbesConfig, "check_files", lambda *_: None)
    patch.setattr(components, "_check_compiler", lambda: None)

    def work(composed: DictConfig) -> None:
        config = verbs.validated(composed, schema)
        if verb == "train":
            components.check_components(config)
        elif verb == "inspect":
            components.check_task_and_data(config)

    return work


def check_make(arguments: list[str]) -> None:
    text = (ROOT / "Makefile").read_text()
    for argument in arguments:
        name, is_variable, _ = argument.partition("=")
        pattern = rf"^{name} \?=" if is_variable else rf"^{name}:"
        assert re.search(pattern, text, re.MULTILINE), f"make {argument} does not exist"


def check_pip(arguments: list[str]) -> None:
    """Checks that clozekit's extras exist."""
    text = (ROOT / "pyproject.toml").read_text()
    for argument in arguments:
        for extra in re.findall(r"^(?:\.|clozekit)\[(.*)\]$", argument):
            for name in extra.split(","):
                assert f"\n{name} = [" in text, f"there is no extra {name}"


def check_python(arguments: list[str]) -> None:
    """Checks that a script exists and has the options."""
    if arguments[:1] == ["-m"]:
        if arguments[1] in ("venv", "pip"):
            return
        path = ROOT / (arguments[1].replace(".", "/") + ".py")
    elif arguments[0] == "convert.py":
        return  # the reader's own
    else:
        path = ROOT / arguments[0]
    assert path.is_file(), f"{arguments} does not exist"
    source = path.read_text()
    for option in arguments:
        if option.startswith("--"):
            assert f'"{option.partition("=")[0]}"' in source, f"{path.name} has no {option}"


def check_sbatch(arguments: list[str]) -> None:
    assert (ROOT / arguments[0]).is_file()
    check_clozekit(["train", *arguments[1:]])


def check_ray(arguments: list[str]) -> None:
    from ray.scripts.scripts import start

    assert arguments[0] == "start"
    start.make_context("start", list(arguments[1:]))


def check_wandb(arguments: list[str]) -> None:
    from wandb.cli.cli import cli

    name, *rest = arguments
    found = cli.get_command(None, name)
    assert found is not None, f"wandb has no command {name}"
    found.make_context(name, list(rest))


CHECKS: dict[str, Callable[[list[str]], None]] = {
    "clozekit": check_clozekit,
    "make": check_make,
    "pip": check_pip,
    "python": check_python,
    "python3": check_python,
    "sbatch": check_sbatch,
    "ray": check_ray,
    "wandb": check_wandb,
    "aws": lambda arguments: None,  # a program that clozekit does not install
}
