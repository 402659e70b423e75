"""Hooks of mkdocs: pages from outside docs/, the notebook, and links that hold on the site too.

Links in the pages are relative paths in the repository. On the site, a link to a page or a file
that is part of it is kept, and any other becomes plain text.
"""

import json
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
PAGES = ("CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")
KINDS = {".md", ".png", ".json", ".py", ".sbatch"}
_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Leaves out the entries of the navigation that have no page."""
    config.nav = existing(config.nav or [])
    return config


def existing(nav: list[Any]) -> list[Any]:
    """Returns the entries whose pages exist, and the sections that have some."""
    kept: list[Any] = []
    for entry in nav:
        if isinstance(entry, str):
            kept += [entry] if source_of(entry).exists() else []
        else:
            ((title, below),) = entry.items()
            entries = existing(below)
            kept += [{title: entries}] if entries else []
    return kept


def source_of(page: str) -> Path:
    """Returns the file in the repository that a page of the site is made of."""
    if page == "quickstart.md":
        return ROOT / "docs" / "quickstart.ipynb"
    if page in PAGES or page.startswith("experiments/"):
        return ROOT / page
    return ROOT / "docs" / page


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages of the repository, the experiments, and the notebook as a page."""
    notebook = source_of("quickstart.md")
    if notebook.exists():
        text = as_markdown(json.loads(notebook.read_text(encoding="utf-8")))
        files.append(File.generated(config, "quickstart.md", content=text))
    paths = [ROOT / name for name in PAGES if (ROOT / name).exists()]
    paths += [each for each in (ROOT / "experiments").rglob("*") if each.suffix in KINDS]
    for path in sorted(paths):
        name = path.relative_to(ROOT).as_posix()
        files.append(File.generated(config, name, abs_src_path=str(path)))
    return files


def as_markdown(notebook: dict[str, Any]) -> str:
    """Writes the cells of a notebook as Markdown."""
    cells = []
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        cells.append(source if cell["cell_type"] == "markdown" else f"```python\n{source}\n```")
    # In HTML, because a link in Markdown would become one to the page itself.
    cells.insert(1, '<a href="quickstart.ipynb" download>Download the notebook</a>.')
    return "\n\n".join(cells) + "\n"


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turns links between files of the repository into links of the site."""
    folder = source_of(page.file.src_uri).parent.relative_to(ROOT).as_posix()

    def of_site(found: re.Match[str]) -> str:
        mark, text, link = found.groups()
        if re.match(r"\w+:|#", link):
            return found[0]
        path, _, anchor = link.partition("#")
        target = site_path(posixpath.normpath(posixpath.join(folder, path)))
        if target is None or files.get_file_from_path(target) is None:
            return text
        target = posixpath.relpath(target, posixpath.dirname(page.file.src_uri) or ".")
        return f"{mark}[{text}]({target}{'#' + anchor if anchor else ''})"

    # Blocks of code may have brackets that are no links.
    parts = re.split(r"(^```.*?^```)", markdown, flags=re.DOTALL | re.MULTILINE)
    return "".join(part if part[:3] == "```" else _LINK.sub(of_site, part) for part in parts)


def site_path(path: str) -> str | None:
    """Returns the site's path for a path in the repository; None if it is not on the site."""
    if (ROOT / path).is_dir():
        path = f"{path}/README.md"
    if path == "README.md":
        return "index.md"
    if path == "docs/quickstart.ipynb":
        return "quickstart.md"
    return path.removeprefix("docs/")
