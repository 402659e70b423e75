"""Whatever values a configuration has, a verb works or refuses it in one line.

`CLOZEKIT_EXAMPLES=5000 pytest tests/programs/test_any_configuration.py` searches for longer.
"""

import os
import re
import shutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from clozekit.train import train
from tests.programs.commands import compose_values, train_config
from tests.programs.in_process import invoke
from tests.programs.texts import write_labelled

EXAMPLES = os.environ.get("CLOZEKIT_EXAMPLES")

VALUES = (
    *(
        "null",
        "-1",
        "0",
        "1",
        "2",
        "0.5",
        "1e308",
        "-1e308",
        "nan",
        "inf",
        "true",
        "99999999999999",
    ),
    *(
        "",
        "''",
        "x",
        "[]",
        "{}",
        "[1,2]",
        "[x]",
        "{a: 1}",
        "x" * 3000,
        "дані 😀",
        "'\u202e\x1b[31m'",
    ),
    *(
        "${x}",
        "${oc.env:NOT_SET}",
        "nowhere/at all (1).csv",
        "~/nowhere",
        "[/b]",
        "$$",
        "a,b",
        "'a\0b'",
    ),
)

SIZES = (
    *("encoder.hidden_size=16", "encoder.num_hidden_layers=1", "encoder.num_attention_heads=2"),
    *("encoder.intermediate_size=16", "encoder.max_position_embeddings=32"),
    *("data.max_seq_length=32", "global_batch_size=4", "micro_batch_size=4", "max_steps=1"),
    *("logger.wandb=null", "callbacks.progress=null", "callbacks.preemption=null"),
    "trainer.limit_val_batches=1",
)

COMMANDS: dict[str, tuple[str, ...]] = {
    "pretraining": ("train", "name=new", "data.path=corpus", *SIZES),
    "classification": (
        *("train", "name=new", "task=classification", "data=classification"),
        *("data.train=rows.csv", "data.tokenizer=corpus/tokenizer.json"),
        *(each.replace("max_steps=1", "max_steps=2") for each in SIZES[:-4]),
        *("logger=csv", "callbacks=[checkpoints,early_stopping]"),
        "validate_every_n_steps=1",
    ),
    # The corpus is already prepared like this, so that preparing it again ends at once.
    "prepare": (
        *("prepare", "source.path=corpus.txt", "out=corpus", "tokenizer.vocab_size=300"),
        *("validation_fraction=0.1", "workers=1"),
    ),
    "inspect": ("inspect", "data.path=corpus", *SIZES, "out=new"),
    "evaluate": ("evaluate", "checkpoint=runs/old", "input=rows.csv", "out=new"),
    "predict": ("predict", "checkpoint=runs/old", "text=the old horse", "output=new"),
    "export": ("export", "checkpoint=runs/old", "out=new", "format=safetensors"),
    "merge": (
        *("merge", "out=new"),
        "checkpoints=[runs/old/checkpoints/last.ckpt,runs/old/checkpoints/best.ckpt]",
    ),
    "report": ("report", "runs/old"),
}

LEFT_OUT = {
    "max_epochs": ("1e308", "99999999999999"),
    "compile.enabled": ("true", "1"),  # takes a minute
    "compile": VALUES,
    "data.num_workers": ("1", "2", "true"),  # processes
    "workers": VALUES,
    # A loss over the limit is not a mistake in the configuration: it ends with a traceback.
    "divergence.max_loss": ("0.5", "1", "2", "true"),
    "divergence.max_grad_norm": ("0.5", "1", "2", "true"),
}
"""Values that are right, and take too long to try or stop training."""


def _keys(values: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for name, value in values.items():
        yield f"{prefix}{name}"
        if isinstance(value, dict):
            yield from _keys(value, f"{prefix}{name}.")


@cache
def keys_of(name: str) -> list[str]:
    """The keys of a command's configuration, leaves and groups."""
    verb, *arguments = COMMANDS[name]
    overrides = [f"folder={each}" if "=" not in each else each for each in arguments]
    return sorted(_keys(compose_values(verb, *overrides)))


@st.composite
def changes(draw: st.DrawFn) -> tuple[str, list[str]]:
    """One of the commands, and overrides that set one or two of its keys to anything."""
    name = draw(st.sampled_from(list(COMMANDS)))
    chosen = draw(st.lists(st.sampled_from(keys_of(name)), min_size=1, max_size=2, unique=True))
    overrides = []
    for key in chosen:
        allowed = [value for value in VALUES if value not in LEFT_OUT.get(key, ())]
        if allowed:
            prefix = draw(st.sampled_from(["", "", "", "++"]))
            overrides.append(f"{prefix}{key}={draw(st.sampled_from(allowed))}")
    return name, overrides


@pytest.fixture(scope="module")
def folder(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a corpus, rows, and a fine-tuned run."""
    folder = tmp_path_factory.mktemp("any_configuration")
    shutil.copytree(corpus, folder / "corpus")
    shutil.copy(corpus.parent / "corpus.txt", folder)
    write_labelled(folder / "rows.csv", 20)
    overrides = [
        each.replace("corpus/", f"{folder}/corpus/").replace("rows.csv", f"{folder}/rows.csv")
        for each in COMMANDS["classification"][2:]
    ]
    train(train_config("name=old", f"runs_dir={folder}/runs", *overrides))
    return folder


@pytest.mark.slow
@settings(
    max_examples=int(EXAMPLES or 100),
    derandomize=EXAMPLES is None,
    suppress_health_check=list(HealthCheck),
)
@given(changed=changes())
def test_any_configuration_works_or_is_refused_in_one_line(
    changed: tuple[str, list[str]], folder: Path
) -> None:
    name, overrides = changed
    check(folder, COMMANDS[name], overrides)


def check(folder: Path, command: tuple[str, ...], overrides: list[str]) -> None:
    """Runs a command with more overrides, and checks how it ends and what it leaves."""
    before = set(_made(folder))
    ended = invoke(*command, *overrides, folder=folder)
    left = set(_made(folder)) - before
    for path in left:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    assert ended.code in (0, 2), ended.err
    assert "Traceback" not in ended.err
    if ended.code == 2:
        assert ended.messages and ended.messages[0].startswith(f"clozekit {command[0]}: ")
        # One line per key, or per item of a list. A group whose value is lost misses several keys.
        lines = [line for line in ended.messages if not line.endswith("is missing")]
        verb = f"clozekit {command[0]}: "
        keys = {re.sub(r"\.\d+=.*", "", line.removeprefix(verb)) for line in lines}
        assert len(keys) <= len(overrides), ended.err
        assert all(line.isprintable() and len(line) < 2000 for line in ended.messages)
        assert left == set(), "a refused command leaves nothing behind"


def _made(folder: Path) -> Iterator[Path]:
    for parent in (folder, folder / "runs"):
        yield from (path for path in parent.iterdir() if path.name != "outputs")
