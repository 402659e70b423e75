"""The notebook: its cells are run in order, its commands as children of the test process."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from tests.docs.pages import ROOT
from tests.programs.commands import run_clozekit

NOTEBOOK = json.loads((ROOT / "docs" / "quickstart.ipynb").read_text(encoding="utf-8"))
CELLS = ["".join(cell["source"]) for cell in NOTEBOOK["cells"] if cell["cell_type"] == "code"]


@pytest.mark.slow
def test_the_cells_run_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for cell in CELLS:
        if cell.startswith("!clozekit "):
            finished = run_clozekit(*shlex.split(cell)[1:], cwd=tmp_path)
            assert finished.returncode == 0, finished.stderr
        else:
            exec(compile(cell, "quickstart.ipynb", "exec"), names)
    assert names["labels"] == ["sea", "farm"]
    words = [word["word"] for word in names["prediction"]["words"][0]]
    assert set(words[:3]) <= set(names["TOPICS"]["farm"]), "the context decides"
    assert "sea: the new ship is near the wave ." in capsys.readouterr().out


def test_a_cell_is_a_command_or_code_and_has_no_output() -> None:
    assert len(CELLS) >= 6
    for cell in NOTEBOOK["cells"]:
        assert not cell.get("outputs") and cell.get("execution_count") is None
    for cell in CELLS:
        assert not re.search(r"^[!%]", cell, re.MULTILINE) or cell.startswith("!clozekit ")


def test_the_links_of_the_notebook_lead_to_pages() -> None:
    text = "".join(line for cell in NOTEBOOK["cells"] for line in cell["source"])
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert links and all((ROOT / "docs" / link).is_file() for link in links)
