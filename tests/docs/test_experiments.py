"""The pages of experiments/ have the figures of their JSON files, and one table lists them all."""

import re
import shutil
from pathlib import Path

import pytest
from experiments import check
from experiments.pages import replaced

from tests.docs.pages import ROOT

EXPERIMENTS = ROOT / "experiments"
TABLE = (EXPERIMENTS / "README.md").read_text(encoding="utf-8")


def test_all_tables_are_those_of_their_results() -> None:
    assert [*check.differing_pages(EXPERIMENTS), *check.differing_sentences(ROOT)] == []


@pytest.mark.parametrize(
    ("page", "figure", "other"),
    [
        ("experiments/throughput/README.md", "8.38 (8.09", "8.39 (8.09"),
        ("experiments/finetune_tasks/README.md", "93.6 ± 0.1 |", "93.9 ± 0.1 |"),
        ("experiments/resume_exactness/README.md", "72 of 72", "73 of 73"),
        ("experiments/lost_rank/README.md", "50 of 50", "51 of 51"),
        ("experiments/README.md", "held-out loss 4.80", "held-out loss 4.70"),
        ("README.md", "4.804", "4.704"),
        ("README.md", "killed 128 times", "killed 129 times"),
        ("README.md", "is 8.4, 5.1", "is 8.6, 5.1"),
    ],
)
def test_a_changed_figure_is_found(page: str, figure: str, other: str, tmp_path: Path) -> None:
    pages = (f"experiments/{name}/README.md" for name in check.WRITERS)
    for name in ("README.md", "experiments/README.md", *pages):
        if (ROOT / name).is_file():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, tmp_path / name)
    text = (tmp_path / page).read_text(encoding="utf-8")
    assert figure in text
    (tmp_path / page).write_text(text.replace(figure, other), encoding="utf-8")
    differing = check.differing_pages(tmp_path / "experiments")
    (line,) = [*differing, *check.differing_sentences(tmp_path)]
    assert str(tmp_path / page) in line


def test_the_table_lists_every_experiment_and_its_results() -> None:
    folders = {path.parent.name for path in EXPERIMENTS.glob("*/*.py")}
    assert folders <= {*check.WRITERS, *check.WITHOUT_JSON}, "experiments/check.py has no writer"
    assert folders <= {*re.findall(r"\]\((\w+)/", TABLE)}
    results = {
        path.relative_to(EXPERIMENTS).as_posix() for path in EXPERIMENTS.glob("*/results*.json")
    }
    assert results <= {*re.findall(r"\]\(([\w/-]+\.json)\)", TABLE)}


def test_a_page_has_one_place_for_a_table() -> None:
    page = "<!-- a -->\nold\n<!-- end of a -->\n"
    assert replaced(page, "a", "new \\1") == "<!-- a -->\nnew \\1\n<!-- end of a -->\n"
    for text in ("", 2 * page):
        with pytest.raises(ValueError, match="places for a"):
            replaced(text, "a", "new")
