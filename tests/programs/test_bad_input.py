"""What the user has to mend is told in one line, before torch is imported, and with exit code 2."""

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.programs.commands import environment_with_tests, run_clozekit
from tests.programs.other_mistakes import OTHER_VERBS
from tests.programs.training_mistakes import TRAINING

DRIVER = """
import contextlib, io, json, sys
from clozekit.cli import main
from tests.harness.quick_hydra import make_hydra_quick

make_hydra_quick()
results = []
for arguments in json.load(sys.stdin):
    sys.argv = ["clozekit", *arguments]
    out, err, code = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
        except SystemExit as error:
            code = error.code
    heavy = sorted({"torch", "lightning", "datasets"} & sys.modules.keys())
    results.append({"code": code, "out": out.getvalue(), "err": err.getvalue(), "heavy": heavy})
print(json.dumps(results))
"""

MISTAKES = TRAINING | OTHER_VERBS


@dataclass
class Answer:
    code: int
    out: str
    err: str
    heavy: list[str]
    files: list[str]


@pytest.fixture(scope="module")
def answers(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Answer]:
    """The command's answer to every mistake, of one process so as to start Python once."""
    own = tmp_path_factory.mktemp("own")
    (own / "experiment").mkdir()
    (own / "experiment" / "own.yaml").write_text("# @package _global_\ntask:\n  depth: 2\n")
    commands = [
        [argument.format(corpus=corpus, own=own) for argument in arguments]
        for arguments, _ in MISTAKES.values()
    ]
    folder = tmp_path_factory.mktemp("mistakes")
    environment = environment_with_tests() | {"NETRC": str(folder / "netrc")}
    environment.pop("WANDB_API_KEY", None)
    finished = subprocess.run(
        [sys.executable, "-c", DRIVER],
        input=json.dumps(commands),
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=400,
    )
    files = sorted(path.name for path in folder.rglob("*"))
    return {
        name: Answer(**answer, files=files)
        for name, answer in zip(MISTAKES, json.loads(finished.stdout), strict=True)
    }


@pytest.mark.slow
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_in_one_line(mistake: str, answers: dict[str, Answer]) -> None:
    answer = answers[mistake]
    assert answer.code == 2
    assert answer.out == ""
    assert answer.err.count("\n") == 1 and answer.err.endswith("\n"), answer.err
    assert answer.err.startswith("clozekit")
    for part in MISTAKES[mistake][1]:
        assert part in answer.err


@pytest.mark.slow
def test_mistakes_are_told_before_anything_heavy_is_imported(answers: dict[str, Answer]) -> None:
    # What one command has imported is there for the next ones.
    assert {name for name, answer in answers.items() if answer.heavy} == set()


@pytest.mark.slow
def test_keys_of_another_choice_are_not_told(answers: dict[str, Answer]) -> None:
    assert "masked_lm" not in answers["an unknown key of another choice than the default"].err
    own = answers["an unknown key beside a choice of the user's own"].err
    assert own == "clozekit train: unknown key 'task.depht'\n"


@pytest.mark.slow
def test_mistakes_leave_no_files_behind(answers: dict[str, Answer]) -> None:
    assert answers["a missing key of prepare"].files == []


def test_a_mistake_ends_the_real_command_the_same_way(tmp_path: Path) -> None:
    command = (str(Path(sys.executable).with_name("clozekit")),)
    finished = run_clozekit("train", "name=a", "max_stepz=3", cwd=tmp_path, command=command)
    assert finished.returncode == 2
    assert finished.stderr.startswith("clozekit train: unknown key 'max_stepz'")
    assert finished.stderr.count("\n") == 1
    assert finished.stdout == ""
