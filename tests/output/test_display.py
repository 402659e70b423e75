"""Text of a user's is printed and drawn as text, by the same few functions everywhere."""

import ast
import io
import warnings
from pathlib import Path

import pytest
from rich.table import Table

import clozekit
from clozekit.output.console import PlainConsole
from clozekit.output.display import printable, say, show_plain_warnings, warn

PACKAGE = Path(clozekit.__file__).parent
FILES = sorted([*PACKAGE.rglob("*.py"), *PACKAGE.parent.glob("hydra_plugins/*.py")])

FIXED_TEXT = {"clozekit/cli.py", "clozekit/completion.py"}
"""Files that print only text of clozekit's own: the help, the version, and completions."""


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain [b]text[/b] :smile: $x$", "plain [b]text[/b] :smile: $x$"),
        ("ünï 中文 😀 👩\u200d💻 نص", "ünï 中文 😀 👩\u200d💻 نص"),
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("\x9b31m\x07\x7f\r", r"\x9b31m\x07\x7f\r"),
        ("two\nlines\tand", r"two\nlines\tand"),
        ("\u202eright\u2066\u2029", r"\u202eright\u2066\u2029"),
        ("half \ud83d", r"half \ud83d"),
        ("", ""),
    ],
)
def test_control_characters_are_escaped_and_other_text_stays(text: str, shown: str) -> None:
    assert printable(text) == shown
    printable(text).encode("utf-8")


def test_a_message_keeps_its_lines() -> None:
    out = io.StringIO()
    say("one \x1b[2J\ntwo", file=out)
    assert out.getvalue() == "one \\x1b[2J\ntwo\n"


def test_a_console_prints_strings_of_all_places_as_they_are() -> None:
    out = io.StringIO()
    console = PlainConsole(file=out, width=200)
    odd = "[/b] [bold]x[/bold] :smile: \x1b[31m"
    table = Table(title=f"title {odd}", caption=f"caption {odd}")
    table.add_column(f"column {odd}")
    table.add_row(f"cell {odd}")
    console.print(table)
    console.print(f"line {odd}")
    shown = out.getvalue()
    for place in ("title", "caption", "column", "cell", "line"):
        assert rf"{place} [/b] [bold]x[/bold] :smile: \x1b[31m" in shown
    assert "\x1b" not in shown


def uses_of(path: Path) -> set[str]:
    """What a file prints or draws with, other than the functions for it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            function = node.func
            name = function.id if isinstance(function, ast.Name) else ""
            name = function.attr if isinstance(function, ast.Attribute) else name
            if (name == "print" and isinstance(function, ast.Name)) or name == "savefig":
                found.add(name)
            is_plain = any(
                keyword.arg == "markup" and getattr(keyword.value, "value", True) is False
                for keyword in node.keywords
            )
            first = node.args[0] if node.args else None
            is_fixed = isinstance(first, ast.Constant) and "{" not in str(first.value)
            if name == "TextColumn" and not is_plain and not is_fixed:
                found.add(name)
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            imported = {alias.name for alias in node.names}
            if module == "rich.console" and "Console" in imported:
                found.add("Console")
            if module.startswith(("rich.markup", "matplotlib.pyplot", "matplotlib.figure")):
                found.add(module)
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_nothing_is_printed_or_drawn_in_another_way(path: Path) -> None:
    file = path.relative_to(PACKAGE.parent).as_posix()
    allowed = {
        "clozekit/output/display.py": {"print"},
        "clozekit/output/console.py": {"Console"},
        "clozekit/output/figures.py": {"savefig", "matplotlib.figure"},
        **{fixed: {"print"} for fixed in FIXED_TEXT},
    }
    assert uses_of(path) <= allowed.get(file, set())


def test_warnings_of_clozekit_are_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    show_plain_warnings()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn("the file \x1b is [damaged]")
        warnings.warn("of a library", UserWarning, stacklevel=1)
    ours, other = (
        warnings.formatwarning(each.message, each.category, each.filename, each.lineno)
        for each in caught
    )
    assert ours == "warning: the file \\x1b is [damaged]\n"
    assert "test_display.py" in other and "UserWarning: of a library" in other
