"""HTML elements whose text is always escaped. Only known tags and attributes can be written.

Whatever is shown on a page comes from files of a user's: it may contain markup, scripts, or
characters that change the direction of the text around them. So a plain string is always text, and
`Html` is made by the functions of this folder alone.
"""

from collections.abc import Iterable
from html import escape
from typing import TypeAlias

from clozekit.output.display import printable

TAGS = frozenset(
    (
        *("html", "head", "body", "title", "main", "header", "footer", "section", "nav"),
        *("article", "h1", "h2", "h3", "p", "ul", "li", "a", "div", "span", "bdi", "small"),
        *("strong", "mark", "code", "table", "thead", "tbody", "tr", "th", "td", "caption"),
        *("details", "summary", "svg", "rect", "text", "line", "g"),
    )
)
"""The elements of pages. None of them loads or runs anything."""

ATTRIBUTES = frozenset(
    (
        *("class", "id", "title", "dir", "lang", "href", "scope", "colspan", "open", "role"),
        *("aria-label", "viewBox", "x", "y", "x1", "x2", "y1", "y2", "width", "height"),
        *("text-anchor",),
    )
)

_LINES = "\n\t"
"""The control characters that stay: pages show lines as lines."""


class Html(str):
    """Markup, with its text escaped."""

    __slots__ = ()


Content: TypeAlias = str
"""`Html` is used as it is; any other string is text."""


def text(value: str) -> Html:
    r"""Escapes a text; control characters and those of direction are shown as `\x1b`, `\u202e`."""
    return Html(escape(printable(value, keep=_LINES), quote=True))


def element(tag: str, *content: Content, **attributes: str | float | None) -> Html:
    """Makes an element.

    Args:
        tag: One of `TAGS`.
        *content: What is in it; strings that are not `Html` are escaped.
        **attributes: `class_` is written as `class`, `aria_label` as `aria-label`; None leaves one
            out.

    Raises:
        ValueError: The tag or an attribute is unknown, or a link leads out of the page.
    """
    if tag not in TAGS:
        raise ValueError(f"<{tag}> is not an element of pages")
    written = []
    for name, value in attributes.items():
        name = name.rstrip("_").replace("_", "-")
        if name not in ATTRIBUTES:
            raise ValueError(f"{name} is not an attribute of elements of pages")
        if name == "href" and not str(value).startswith("#"):
            raise ValueError(f"{value} leads out of the page")
        if value is not None:
            written.append(f' {name}="{text(str(value))}"')
    return Html(f"<{tag}{''.join(written)}>{joined(content)}</{tag}>")


def joined(content: Iterable[Content]) -> Html:
    """Joins markup and escaped text."""
    return Html("".join(part if isinstance(part, Html) else text(part) for part in content))


def isolated(value: str, class_: str | None = None) -> Html:
    """Makes text whose direction, such as that of Arabic, does not change what is around it."""
    return element("bdi", value, dir="auto", class_=class_)


def shortened(value: str, most: int) -> str:
    """Cuts a long text, and says how much is left out."""
    if len(value) <= most:
        return value
    return f"{value[:most]}… ({len(value) - most:,} more characters)"
