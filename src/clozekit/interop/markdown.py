"""Writes text of others into Markdown, so that it is shown as it is: no markup, no HTML."""

import re

from clozekit.output.display import printable

# What Markdown, GitHub's dialect of it or HTML gives a meaning to; `_` only at the ends of a word.
_SPECIAL = re.compile(r"[\\`*\[\]|<>&~$:@#]|(?<![^\W_])_+|_+(?![^\W_])|(?<=www)\.")


def as_text(value: object) -> str:
    """Returns text for a paragraph, a heading or the cell of a table."""
    return _SPECIAL.sub(_as_entities, printable(str(value)))


def as_code(value: object) -> str:
    """Returns text in a code span, on one line."""
    text = printable(str(value))
    fence = "`" * (_longest_run(text) + 1)
    # With a space, the text may begin or end with a backtick.
    return f"{fence} {text} {fence}" if "`" in text else f"{fence}{text}{fence}"


def as_code_block(text: str, language: str) -> str:
    """Returns lines of text in a fenced code block."""
    lines = "\n".join(printable(line) for line in text.splitlines())
    fence = "`" * max(3, _longest_run(text) + 1)
    return f"{fence}{language}\n{lines}\n{fence}"


def _as_entities(found: re.Match[str]) -> str:
    return "".join(f"&#{ord(character)};" for character in found[0])


def _longest_run(text: str) -> int:
    return max((len(run) for run in re.findall("`+", text)), default=0)
