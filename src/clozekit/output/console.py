"""The console of rich that prints text of a user's as it is; see `clozekit.output.display`."""

from rich.console import Console, JustifyMethod, OverflowMethod
from rich.style import Style
from rich.text import Text

from clozekit.output.display import printable


class PlainConsole(Console):
    """A console that prints all strings as they are: in lines, cells, titles and columns."""

    def render_str(
        self,
        text: str,
        *,
        style: str | Style = "",
        justify: JustifyMethod | None = None,
        overflow: OverflowMethod | None = None,
        emoji: bool | None = None,
        markup: bool | None = None,
        highlight: bool | None = None,
        highlighter: object = None,
    ) -> Text:
        """Converts a string to text without markup, emoji codes and control characters."""
        return Text(printable(text), style=style, justify=justify, overflow=overflow)
