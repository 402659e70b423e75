"""Tab completion, by the function that Hydra installs, in a real bash."""

import os
import shlex
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from tests.programs.commands import child_environment, run_clozekit

BIN = Path(sys.executable).parent

INSTALL = "clozekit {verb} -sc install=bash"
PRESS_TAB = """
eval {installed}
COMP_LINE={line} COMP_POINT={cursor} COMP_CWORD={index} COMP_WORDS=({words})
$(complete -p clozekit | sed 's/.*-F \\([^ ]*\\).*/\\1/')
printf '%s\\n' "${{COMPREPLY[@]}}"
"""
"""Evaluates what is printed for that, as the help says, and calls what bash would at TAB."""


def press_tab(line: str, folder: Path, verb: str = "train", behind: str = "") -> list[str]:
    """The completions of a line at whose end TAB is pressed; nothing else may be printed.

    Args:
        line: The line up to the cursor.
        folder: Where the shell is.
        verb: The verb of the installation.
        behind: What stands behind the cursor.
    """
    script = PRESS_TAB.format(
        installed=shlex.quote(run_in_bash(INSTALL.format(verb=verb))),
        line=shlex.quote(line + behind),
        words=" ".join(map(shlex.quote, (line + behind).split())),
        cursor=len(line.encode()),
        index=len(line.split()) - (0 if line.endswith(" ") else 1),
    )
    return run_in_bash(script, folder).split()


def completions(line: str, folder: Path) -> list[str]:
    """The same without bash: what the command prints that the function calls at TAB."""
    shell = {"COMP_LINE": line, "COMP_POINT": str(len(line.encode()))}
    finished = run_clozekit("-sc", "query=bash", cwd=folder, more=shell)
    assert (finished.returncode, finished.stderr) == (0, "")
    return finished.stdout.split()


@cache
def run_in_bash(script: str, folder: Path | None = None) -> str:
    """Runs a script, the same only once, and gives what it prints."""
    finished = subprocess.run(
        ["bash", "--norc", "-c", script],
        cwd=folder,
        env=child_environment() | {"PATH": f"{BIN}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert finished.stderr == ""
    return finished.stdout


def test_verbs(tmp_path: Path) -> None:
    assert press_tab("clozekit ", tmp_path)[:2] == ["prepare", "train"]
    assert press_tab("clozekit pre", tmp_path) == ["prepare", "predict"]


@pytest.mark.parametrize(
    ("line", "completed"),
    [
        ("clozekit train tas", ["task.", "task="]),
        ("clozekit train task=ta", ["task=tagging"]),
        ("clozekit train data=glue/co", ["data=glue/cola"]),
        ("clozekit train encoder=tiny optimizer.we", ["optimizer.weight_decay="]),
        ("clozekit train task=tagging task.label_", ["task.label_smoothing="]),
        ("clozekit train name=mine max_", ["max_epochs=", "max_steps=", "max_tokens="]),
        ("clozekit train hydra/launcher=p", ["hydra/launcher=processes"]),
        ("clozekit evaluate check", ["checkpoint="]),
        ("clozekit prepare source=te", ["source=text"]),
        ("clozekit train -m optimizer.l", ["optimizer.lr="]),
    ],
)
def test_groups_choices_and_keys(line: str, completed: list[str], tmp_path: Path) -> None:
    assert completions(line, tmp_path) == completed


def test_all_choices_of_a_group(tmp_path: Path) -> None:
    found = completions("clozekit train task=", tmp_path)
    assert {"task=tagging", "task=pretraining"} <= set(found)


def test_files(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").touch()
    line = "clozekit train data=classification data.train=./ro"
    assert press_tab(line, tmp_path) == ["data.train=./rows.csv"]


@pytest.mark.parametrize(
    "line",
    ["clozekit nonsense ta", "clozekit train encoder=nope optim.l", "clozekit train a=(b l="],
)
def test_a_line_that_cannot_be_composed_is_left_alone(line: str, tmp_path: Path) -> None:
    assert completions(line, tmp_path) == []


def test_what_stands_behind_the_cursor_does_not_count(tmp_path: Path) -> None:
    assert press_tab("clozekit train task=ta", tmp_path, behind=" name=mine") == ["task=tagging"]


@pytest.mark.parametrize("verb", ["", "train"])
@pytest.mark.parametrize("asked", ["", "install=foo", "install=bash query=bash"])
def test_what_completion_has_not_is_refused(verb: str, asked: str, tmp_path: Path) -> None:
    finished = run_clozekit(*verb.split(), "-sc", *asked.split(), cwd=tmp_path)
    assert finished.returncode == 2 and finished.stdout == ""
    said = f"clozekit {verb}".strip() + f": -sc {asked}".rstrip()
    assert finished.stderr.startswith(f"{said}: -sc needs one of install=bash, install=fish, ins")
    assert finished.stderr.count("\n") == 1


def test_the_function_is_printed_without_a_verb_too(tmp_path: Path) -> None:
    assert press_tab("clozekit train tas", tmp_path, verb="") == ["task.", "task="]


def test_a_path_of_the_command(tmp_path: Path) -> None:
    assert press_tab(f"{BIN}/clozekit train tas", tmp_path) == ["task.", "task="]
