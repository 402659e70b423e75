"""Blocks of code in the documentation: each is valid, and those of the guide to extending run."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from clozekit.config.schedule import UserScheduleConfig
from clozekit.optim.schedules import make_schedule
from tests.docs.pages import PAGES, ROOT, blocks_of, write_files

EXTEND = (ROOT / "docs" / "extend.md").read_text(encoding="utf-8")


def test_blocks_are_valid_in_their_language() -> None:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for block in blocks_of(text, "python"):
            compile(block, str(page), "exec")
        for block in blocks_of(text, "yaml"):
            assert isinstance(yaml.safe_load(block), dict), page
        for block in blocks_of(text, "json"):
            json.loads(block)


def test_the_schedule_of_the_guide_rises_and_falls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "my_schedules.py" in write_files(EXTEND, tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    values = {"_target_": "my_schedules.triangle", "peak": 0.3}
    factor = make_schedule(UserScheduleConfig.model_validate(values), 1000)
    assert [factor(step) for step in (0, 150, 300, 650, 1000)] == pytest.approx([0, 0.5, 1, 0.5, 0])


def test_the_converter_of_the_guide_writes_documents(tmp_path: Path) -> None:
    write_files(EXTEND, tmp_path)
    (tmp_path / "pages").mkdir()
    for name in ("b", "a"):
        (tmp_path / "pages" / f"{name}.html").write_text(f"text of {name}")
    finished = subprocess.run(
        [sys.executable, "convert.py", "pages"], cwd=tmp_path, capture_output=True, check=True
    )
    rows = [json.loads(line) for line in finished.stdout.splitlines()]
    assert rows == [{"id": name, "text": f"text of {name}"} for name in ("a", "b")]
