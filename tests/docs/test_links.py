"""Links of the documentation, and its navigation."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.docs.pages import PAGES, ROOT, blocks_of

MKDOCS = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))
FROM_ROOT = ("CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")


def text_of(page: Path) -> str:
    """Returns a page without its code."""
    text = page.read_text(encoding="utf-8")
    return re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)


def anchors_of(page: Path) -> set[str]:
    """Returns the anchors of a page's headings, as GitHub and mkdocs name them."""
    headings = re.findall(r"^#+ (.*)$", text_of(page), re.MULTILINE)
    return {
        re.sub(r"[^\w\- ]", "", heading.replace("`", "").lower()).strip().replace(" ", "-")
        for heading in headings
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files_and_headings(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", text_of(page)):
        if re.match(r"https?:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.is_relative_to(ROOT) and target.exists(), f"{link} does not exist"
        if anchor:
            heading_page = target / "README.md" if target.is_dir() else target
            assert anchor in anchors_of(heading_page), f"{link}: no such heading"


def pages_in(nav: list[Any]) -> list[str]:
    pages: list[str] = []
    for entry in nav:
        pages += [entry] if isinstance(entry, str) else pages_in(*entry.values())
    return pages


def test_every_page_is_in_the_navigation_once() -> None:
    pages = pages_in(MKDOCS["nav"])
    docs = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    expected = {*docs, *FROM_ROOT, "quickstart.md", "experiments/README.md"}
    assert expected <= {*pages}, "add the page to the nav of mkdocs.yml"
    assert len(pages) == len({*pages})


def test_every_page_begins_with_its_title() -> None:
    for page in PAGES:
        first, *rest = page.read_text(encoding="utf-8").splitlines()
        assert first.startswith("# "), page
        others = re.sub(r"^```.*?^```", "", "\n".join(rest), flags=re.DOTALL | re.MULTILINE)
        assert not re.findall(r"^# ", others, re.MULTILINE), f"{page}: one title"


def test_blocks_of_code_name_their_language() -> None:
    known = ("sh", "python", "yaml", "text", "csv", "json")
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        num_fences = len(re.findall(r"^```", text, re.MULTILINE))
        assert num_fences == 2 * len(blocks_of(text, *known)), f"{page}: a block has no language"
