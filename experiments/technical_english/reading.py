"""The documents of an unpacked package."""

import gzip
from collections.abc import Iterator
from pathlib import Path

from experiments.technical_english.html_pages import paragraphs_of_html
from experiments.technical_english.manual_pages import paragraphs_of_man, paragraphs_of_pod
from experiments.technical_english.packages import Package
from experiments.technical_english.prose import is_document, prose

LARGEST = 8_000_000
"""The bytes of a page: larger ones are whole manuals on one page, or indices."""


def documents_of(root: Path, package: Package) -> Iterator[tuple[str, list[str]]]:
    """Yields the name and the paragraphs of each document, in the order of their names."""
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if not package.has(name) or path.is_symlink() or not path.is_file():
            continue
        text = text_of(path)
        if text:
            paragraphs = list(prose(paragraphs_of(name.removesuffix(".gz"), text)))
            if is_document(paragraphs):
                yield name, paragraphs


def paragraphs_of(name: str, text: str) -> list[str]:
    """Returns the paragraphs of a text by the ending of its file."""
    if name.endswith((".html", ".htm", ".xhtml", ".html.en")):
        return paragraphs_of_html(text)
    if name.endswith((".pod", ".pm")):
        return paragraphs_of_pod(text)
    return paragraphs_of_man(text)


def text_of(path: Path) -> str:
    content = path.read_bytes()
    if path.suffix == ".gz":
        content = gzip.decompress(content)
    if len(content) > LARGEST:
        return ""
    try:
        return content.decode()
    except UnicodeDecodeError:
        return content.decode("latin-1")
