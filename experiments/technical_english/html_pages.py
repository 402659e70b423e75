"""The paragraphs of an HTML page, without what only helps to find one's way."""

import re
from html.parser import HTMLParser

DROPPED = re.compile(
    r"head|script|style|nav|header|footer|pre|table|form|button|svg|math|select|textarea|noscript"
    r"|dt|h[1-6]|figure|figcaption|iframe|title|object"
)
BLOCKS = re.compile(
    r"p|div|li|d[dl]|t[dh]|[uo]l|section|article|main|blockquote|body|hr|center|details|summary"
    r"|aside|address"
)
CONTAINERS = re.compile(r"div|section|span|[uod]l|a|aside|p")
VOID = re.compile(r"br|hr|img|input|meta|link|area|base|col|embed|param|source|track|wbr")
NEVER_CLOSED = frozenset({"dt"})
"""Elements of old pages without an end: dropped until the next block."""

CLASS = re.compile(
    r"nav\w*|\w*sidebar\w*|toc\w*|\w*-toc|\w*toctree\S*|breadcrumbs?|footer\w*|header\w*|related\S*"
    r"|menu\w*|search\w*|copyright|legalnotice|highlight\S*|literal-block|code-block|code-wrapper"
    r"|syntax\w*|synopsis|\w*synopsis|programlisting|screen|listing|mem(proto|title|name|berdecls)"
    r"|headerlink|permalink|toolbar|admonition-title|\w*-signature|refnamediv|skip\S*|caption"
    r"|sig\S*|field-list|fragment|line-?numbers?|author|revinfo|(sub|top|bottom)nav|indexterm"
    r"|title|contents|footnotes?|bibliography|qt-?nav\w*"
)
ROLES = frozenset({"navigation", "search", "banner", "contentinfo"})


class _Paragraphs(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[str] = []
        self._parts: list[str] = []
        self._dropped, self._depth = "", 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self._dropped in NEVER_CLOSED and BLOCKS.fullmatch(tag):
            self._dropped = ""
        if self._dropped:
            self._depth += tag == self._dropped
        elif VOID.fullmatch(tag):
            self._parts.append(" ")
        elif DROPPED.fullmatch(tag) or (CONTAINERS.fullmatch(tag) and _is_dropped(attrs)):
            if tag not in ("span", "a"):
                self.flush()
            self._dropped, self._depth = tag, 1
        elif BLOCKS.fullmatch(tag):
            self.flush()

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if not self._dropped:
            self._parts.append(" ")

    def handle_endtag(self, tag: str) -> None:
        if self._dropped:
            self._depth -= tag == self._dropped
            if self._depth == 0:
                self._dropped = ""
        elif BLOCKS.fullmatch(tag):
            self.flush()

    def handle_data(self, data: str) -> None:
        if not self._dropped:
            self._parts.append(data)

    def flush(self) -> None:
        """Ends the paragraph."""
        text = "".join(self._parts).strip()
        if text:
            self.found.append(text)
        self._parts.clear()


def _is_dropped(attrs: list[tuple[str, str | None]]) -> bool:
    for name, value in attrs:
        if name == "role" and value in ROLES:
            return True
        if name == "class" and value and any(map(CLASS.fullmatch, value.lower().split())):
            return True
    return False


def paragraphs_of_html(text: str) -> list[str]:
    """Returns the paragraphs of a page, in order."""
    parser = _Paragraphs()
    parser.feed(text)
    parser.close()
    parser.flush()
    return parser.found
