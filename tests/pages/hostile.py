"""Texts that would do harm on a careless page, and a check of a page without a browser."""

from html.parser import HTMLParser

URL = "http://127.0.0.1:47999/x"
"""Where the texts would send something; nothing listens there."""

MARKUP = (
    f"<script>document.title='executed';fetch('{URL}')</script>",
    f"<img src={URL} onerror=\"document.title='executed'\">",
    "</style></script><svg onload=document.title='executed'>",
    "</title><body onload=\"document.title='executed'\">",
    "'\" onmouseover=\"document.title='executed'\" x='",
    f'<meta http-equiv="refresh" content="0;url={URL}"><base href="{URL}">',
    f"<link rel=stylesheet href={URL}><iframe src=\"javascript:document.title='executed'\">",
    "&lt;b&gt; &amp; <!-- --> ]]> ${x} {{x}} <bdi> </bdi></article></main>",
)
OTHER = (
    "\x1b[31mred\x07 and \x00 null",
    "\u202egnitirw\u2066 \u200f",
    "שלום עולם و مرحبا",
    "😀 中文 é\u0301\u0301\u0301",
    "line\none\r\ntwo\u2028three\tfour",
    "\ud83d",
    "x" * 3000,
    "[red]markup of rich[/red] :smile:",
)
HOSTILE = (*MARKUP, *OTHER)

IN_FILES = tuple(text for text in HOSTILE if text != "\ud83d")
"""Those that a file in UTF-8 can hold."""

VOID = {"meta"}


class PageCheck(HTMLParser):
    """Collects what a page must not have, and the text that it shows.

    Attributes:
        problems: What is wrong.
        shown: The text outside of the style sheet.
        tags: The elements.
    """

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.problems: list[str] = []
        self.tags: set[str] = set()
        self._open: list[str] = []
        self._text: list[str] = []
        self.feed(page)
        self.close()
        if self._open:
            self.problems.append(f"not closed: {self._open}")

    @property
    def shown(self) -> str:
        return "".join(self._text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        if tag in ("script", "iframe", "object", "embed", "base", "link", "img", "form", "input"):
            self.problems.append(f"<{tag}>")
        for name, value in attrs:
            if name.startswith("on") or name in ("src", "srcset", "action", "style"):
                self.problems.append(f"{tag} {name}={value}")
            if name == "href" and not str(value).startswith("#"):
                self.problems.append(f"link to {value}")
        given = dict(attrs)
        if tag == "meta" and given.get("http-equiv") not in (None, "Content-Security-Policy"):
            self.problems.append(f"meta {given}")
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open.pop() != tag:
            self.problems.append(f"</{tag}> closes another element")

    def handle_data(self, data: str) -> None:
        if self._open[-1:] != ["style"]:
            self._text.append(data)

    def handle_comment(self, data: str) -> None:
        self.problems.append(f"comment {data}")


def check(page: str) -> PageCheck:
    """Checks a page.

    Raises:
        AssertionError: It loads or runs something, or is not well-formed.
    """
    found = PageCheck(page)
    assert found.problems == []
    assert "default-src 'none'" in page and "script-src" not in page
    assert "url(" not in page and "@import" not in page
    unseen = [c for c in found.shown if c not in "\n\t" and not c.isprintable() and ord(c) < 160]
    assert unseen == []
    return found
