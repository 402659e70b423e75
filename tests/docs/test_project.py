"""The files of a kept project agree with one another."""

import re
import tomllib
from pathlib import Path

import yaml

from clozekit import __version__
from tests.docs.composing import check_make
from tests.docs.pages import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_one_version_everywhere() -> None:
    citation = yaml.safe_load(read("CITATION.cff"))
    assert PROJECT["version"] == citation["version"] == __version__
    assert re.search(rf"^## .*\b{re.escape(__version__)}\b", read("CHANGELOG.md"), re.MULTILINE)
    assert citation["license"] == PROJECT["license"]
    assert citation["authors"] == [{"name": "The clozekit developers"}]


def test_continuous_integration_runs_what_the_makefile_has() -> None:
    workflow = yaml.safe_load(read(".github/workflows/ci.yml"))
    steps = workflow["jobs"]["check"]["steps"]
    made = [step["run"].split()[1] for step in steps if step.get("run", "").startswith("make ")]
    assert made == ["lint", "docs", "experiments-check", "test"]
    check_make(made)
    lines = [line for line in read(".ci/run").splitlines() if line.startswith("make ")]
    assert lines == ["make lint docs", "make test"]
    (python,) = [step["with"]["python-version"] for step in steps if "python-version" in str(step)]
    assert PROJECT["requires-python"] == f">={python}"


def test_the_makefile_lists_its_targets() -> None:
    targets = re.findall(r"^([a-z-]+):.*##", read("Makefile"), re.MULTILINE)
    (phony,) = re.findall(r"^\.PHONY: (.*)$", read("Makefile"), re.MULTILINE)
    assert {*targets, "help"} == {*phony.split()}
    assert Path(ROOT / "constraints.txt").is_file()
