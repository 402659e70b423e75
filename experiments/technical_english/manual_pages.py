"""The paragraphs of POD and of manual pages."""

import re

POD_CODE = re.compile(r"[A-Z]<<+ (.*?) >>+|([A-Z])<([^<>]*)>", re.DOTALL)
ENTITIES = {"lt": "<", "gt": ">", "verbar": "|", "sol": "/"}

ROFF_ESCAPES = (
    (re.compile(r"\\f(\[[^\]]*\]|\(..|.)"), ""),
    (re.compile(r"\\s[+-]?\d+"), ""),
    (re.compile(r"\\\*?(\((aq|cq|oq)|\[(aq|cq|oq)\])"), "'"),
    (re.compile(r"\\\*?(\((lq|rq|dq)|\[(lq|rq|dq)\])"), '"'),
    (re.compile(r"\\(\(em|\[em\])"), " - "),
    (re.compile(r"\\(-|\((en|hy)|\[(en|hy)\])"), "-"),
    (re.compile(r"\\[&|^:%/,cp]"), ""),
    (re.compile(r"\\[ ~0]"), " "),
    (re.compile(r"\\(e|\(rs|\[rs\])"), r"\\"),
    (re.compile(r"\\\*?(\[[^\]]*\]|\(..|.)"), ""),
)
FONTS = re.compile(r"[BIR]|BI|BR|IB|IR|RB|RI|SM|SB|U[RE]|M[TE]")
ALTERNATING = re.compile(r"BI|BR|IB|IR|RB|RI")
VERBATIM = {
    "nf": "fi",
    "EX": "EE",
    "TS": "TE",
    "EQ": "EN",
    "SY": "YS",
    "ig": "..",
    "de": "..",
    "PS": "PE",
}
DROPPED_SECTIONS = frozenset(
    {
        "NAME",
        "SYNOPSIS",
        "COLOPHON",
        "COPYRIGHT",
        "SEE ALSO",
        "AUTHOR",
        "AUTHORS",
        "ATTRIBUTES",
        "VERSIONS",
        "CONFORMING TO",
        "STANDARDS",
    }
)


def paragraphs_of_pod(text: str) -> list[str]:
    """Returns the paragraphs of POD, without verbatim ones and headings."""
    found, is_pod, is_dropped = [], False, False
    for block in re.split(r"\n[ \t]*\n", text.replace("\r\n", "\n")):
        block = block.strip("\n")
        if block.startswith("="):
            command = block.split(maxsplit=1)[0]
            is_pod = command != "=cut"
            if command in ("=begin", "=end"):
                is_dropped = command == "=begin"
        elif is_pod and not is_dropped and block and not block[0].isspace():
            found.append(_without_codes(block))
    return found


def _without_codes(text: str) -> str:
    for _ in range(4):  # codes within codes
        text, count = POD_CODE.subn(_content_of_code, text)
        if not count:
            break
    return text


def _content_of_code(match: re.Match[str]) -> str:
    if match[1] is not None:
        return match[1]
    code, content = match[2], match[3]
    if code == "E":
        return ENTITIES.get(content, "")
    if code in "XZ":
        return ""
    return content.split("|")[0].strip("/") if code == "L" else content


def paragraphs_of_man(text: str) -> list[str]:
    """Returns the paragraphs of a manual page in the macros of man; none in those of mdoc."""
    if re.search(r"^\.Dd ", text, re.MULTILINE):
        return []
    found: list[str] = []
    parts: list[str] = []
    until, drops_section, is_tag = "", False, False
    for line in text.splitlines():
        macro, _, rest = line[1:].lstrip().partition(" ") if line[:1] in ".'" else ("", "", line)
        if until:
            until = "" if macro == until or line == until else until
        elif macro in VERBATIM:
            until = VERBATIM[macro]
        elif macro == "SH":
            drops_section = _plain(rest).strip(' "').upper() in DROPPED_SECTIONS
            _end(parts, found)
        elif FONTS.fullmatch(macro) or not macro:
            if is_tag:  # the term of a list
                is_tag = False
            elif not drops_section and not line.startswith('.\\"'):
                parts.append(_arguments(macro, rest))
            if not line.strip():
                _end(parts, found)
        else:
            is_tag = macro in ("TP", "TQ")
            if macro not in ("PD", "ft", "if", "ie", "el", "hy", "ad", "in", "ne"):
                _end(parts, found)
    _end(parts, found)
    return found


def _arguments(macro: str, rest: str) -> str:
    if ALTERNATING.fullmatch(macro):
        words = re.findall(r'"([^"]*)"|(\S+)', rest)
        return _plain("".join(quoted or word for quoted, word in words))
    return _plain(rest.replace('"', "") if macro else rest)


def _plain(text: str) -> str:
    for pattern, replacement in ROFF_ESCAPES:
        text = pattern.sub(replacement, text)
    return text


def _end(parts: list[str], found: list[str]) -> None:
    text = " ".join(parts).strip()
    if text:
        found.append(text)
    parts.clear()
