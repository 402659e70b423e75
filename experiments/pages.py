"""What all pages of experiments are written with."""

import re


def replaced(text: str, name: str, table: str) -> str:
    """Puts a text between the pair of comments of a name.

    Raises:
        ValueError: The page does not have the comments once.
    """
    pattern = rf"(<!-- {name} -->\n).*?(<!-- end of {name} -->)"
    new, count = re.subn(pattern, lambda m: m[1] + table + "\n" + m[2], text, flags=re.DOTALL)
    if count != 1:
        raise ValueError(f"the page has {count} places for {name}")
    return new


def row(*cells: object) -> str:
    """Writes a row of a table."""
    return "| " + " | ".join(str(cell) for cell in cells) + " |"
