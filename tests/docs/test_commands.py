"""Every command that the documentation shows is checked as its program checks it."""

import json
import tomllib
from pathlib import Path

import pytest

from tests.docs.composing import check
from tests.docs.pages import PAGES, ROOT, commands_of, write_files

RUNS = {
    "first": "data.path=data/mine max_steps=10000",
    "stable": "data.path=data/mine max_steps=100000 schedule=wsd",
}
"""The runs that commands of the documentation begin from, and what trained them."""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_commands_of_a_page_are_valid(
    page: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = page.read_text(encoding="utf-8")
    write_files(text, tmp_path)
    for name, command in RUNS.items():
        (tmp_path / "runs" / name).mkdir(parents=True)
        record = {"command": f"clozekit train name={name} {command}"}
        (tmp_path / "runs" / name / "run.json").write_text(json.dumps(record))
    monkeypatch.chdir(tmp_path)
    for words in commands_of(text):
        try:
            check(words)
        except AssertionError as error:
            error.add_note(f"{' '.join(words)}: {capsys.readouterr().err}")
            raise


@pytest.mark.parametrize(
    "command",
    [
        "clozekit train name=a data.path=b max_step=1",
        "clozekit train name=a data.path=b max_steps=1 data.masked_lm_prob=2",
        "clozekit train name=a data.path=b max_steps=1 encoder=giant",
        "clozekit train -m name=a data.path=b max_steps=1 optimizer.rate=1,2",
        "clozekit prepare source.path=a.txt",
        "clozekit learn",
        "make everything",
        "pip install clozekit[all]",
        "python experiments/demo/demo.py --fast",
        "python experiments/nothing.py",
        "curl example.org",
    ],
)
def test_a_wrong_command_is_found(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises((AssertionError, KeyError, ModuleNotFoundError)):
        check(command.split())


def test_the_documentation_is_not_needed_by_users_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert not [name for name in project["dependencies"] if name.startswith("mkdocs")]
    assert project["optional-dependencies"]["docs"] == ["mkdocs-material>=9.5,<10"]
