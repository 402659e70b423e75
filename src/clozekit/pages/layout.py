"""The parts of a page: sections, tables, facts, and the page itself."""

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence

from clozekit import __version__
from clozekit.pages.elements import Content, Html, element, isolated, joined, text
from clozekit.pages.style import STYLE

NUMBER = "number"
"""The class of cells with numbers."""


def page(title: str, subtitle: str, sections: Sequence[tuple[str, Html]]) -> str:
    """Makes a page that needs no other file, loads nothing, and runs nothing.

    Its policy forbids scripts, connections, images and all styles but its own, so that a mistake in
    the escaping of text would do no harm either.

    Args:
        title: The title.
        subtitle: A line below the title.
        sections: The heading and the content of each section.
    """
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    links = [
        element("li", element("a", heading, href=f"#section-{number}"))
        for number, (heading, _) in enumerate(sections)
    ]
    body = element(
        "main",
        element("header", element("h1", title), element("p", subtitle, class_="subtitle")),
        element("nav", element("ul", *links)) if len(links) > 1 else Html(),
        *(
            element("section", element("h2", heading), content, id=f"section-{number}")
            for number, (heading, content) in enumerate(sections)
        ),
        element("footer", f"clozekit {__version__}"),
    )
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="referrer" content="no-referrer">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{text(title)}</title>\n<style>{STYLE}</style>\n</head>\n"
        f"<body>\n{body}\n</body>\n</html>\n"
    )


def facts(values: Mapping[str, str]) -> Html:
    """Makes a table of names and values."""
    rows = (
        element("tr", element("th", name, scope="row"), element("td", isolated(value)))
        for name, value in values.items()
    )
    return element("table", element("tbody", *rows), class_="facts")


def table(
    columns: Sequence[str], rows: Iterable[Sequence[Content]], numbers: Sequence[int] = ()
) -> Html:
    """Makes a table.

    Args:
        columns: The titles of the columns.
        rows: The cells of each row.
        numbers: The indices of the columns with numbers.
    """
    classes = [NUMBER if place in numbers else None for place in range(len(columns))]
    head = (
        element("th", title, scope="col", class_=class_)
        for title, class_ in zip(columns, classes, strict=True)
    )
    body = (
        element(
            "tr",
            *(
                element("td", cell if isinstance(cell, Html) else isolated(cell), class_=class_)
                for cell, class_ in zip(cells, classes, strict=True)
            ),
        )
        for cells in rows
    )
    whole = element("table", element("thead", element("tr", *head)), element("tbody", *body))
    return element("div", whole, class_="scrolling")


def notes(lines: Iterable[str]) -> Html:
    """Makes a list of remarks."""
    return element("ul", *(element("li", isolated(line)) for line in lines), class_="notes")


def card(title: Content, *content: Content, hint: str = "", is_wrong: bool = False) -> Html:
    """Makes a box with a title, such as one for an example.

    Args:
        title: The title.
        *content: What is in it.
        hint: What is said beside the title, such as a confidence.
        is_wrong: Whether it shows an error.
    """
    beside = element("small", isolated(hint)) if hint else Html()
    head = element("h3", title if isinstance(title, Html) else isolated(title), beside)
    return element("article", head, *content, class_="wrong" if is_wrong else None)


def named(name: str, content: Content) -> Html:
    """Makes a line of a card: a name and what it stands for."""
    shown = content if isinstance(content, Html) else isolated(content)
    return element("div", element("span", name, class_="name"), shown, class_="named")


def stacked(parts: Iterable[Html]) -> Html:
    """Joins parts, each of which is a block."""
    return joined(parts)
