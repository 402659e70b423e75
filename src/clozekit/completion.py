"""Tab completion: verbs by clozekit, what follows them by Hydra.

`clozekit train -sc install=bash` prints the shell function of Hydra. On TAB it calls
`clozekit -sc query=bash`, without a verb, with the line so far in COMP_LINE.
"""

import contextlib
import io
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from clozekit.errors import ConfigError
from clozekit.exit_codes import USER_ERROR
from clozekit.output.display import say

FLAGS = ("-sc", "--shell-completion")
LINE, CURSOR = "COMP_LINE", "COMP_POINT"


def is_asked(arguments: list[str]) -> bool:
    """Whether the command line is a shell's and not a person's: there is no verb in it."""
    return bool(arguments) and arguments[0] in FLAGS


def complete(arguments: list[str], verbs: Iterable[str], run_verb: Callable[[str], int]) -> int:
    """Prints what could stand at the end of the shell's line, or installs Hydra's function.

    Args:
        arguments: The command line, which begins with `-sc`.
        verbs: The verbs that there are.
        run_verb: Runs a verb with `sys.argv` as its command line.

    Returns:
        The exit code.
    """
    from clozekit.config.composition.options import check_completion

    try:
        check_completion([argument for argument in arguments if argument not in FLAGS])
    except ConfigError as error:
        say(f"clozekit: {error}", file=sys.stderr)
        return USER_ERROR
    program = sys.argv[0]
    verbs = list(verbs)
    if not any(argument.startswith("query=") for argument in arguments):
        # The function is the same for every verb.
        sys.argv = [program, verbs[0], *arguments]
        return run_verb(verbs[0])
    words, last = _words(os.environ.get(LINE, ""), os.environ.get(CURSOR, ""))
    if not words:
        print("\n".join(verb for verb in verbs if verb.startswith(last)))
        return 0
    verb, *overrides = words
    if verb not in verbs:
        return 0
    print("\n".join(sorted({*_of_hydra(program, verb, arguments, overrides, last, run_verb)})))
    return 0


def _words(line: str, cursor: str) -> tuple[list[str], str]:
    """Gives the whole words after the program's name up to the cursor, and the one it stands in."""
    if cursor.isdigit():
        line = line.encode()[: int(cursor)].decode(errors="ignore")
    words = line.split()[1:]
    is_in_word = bool(words) and not line[-1].isspace()
    return (words[:-1], words[-1]) if is_in_word else (words, "")


def _of_hydra(
    program: str,
    verb: str,
    arguments: list[str],
    overrides: list[str],
    last: str,
    run_verb: Callable[[str], int],
) -> list[str]:
    """Gives Hydra's answers, and the choices that lie a folder deeper, which it does not give."""
    printed = io.StringIO()
    sys.argv = [program, verb, *arguments]
    os.environ[LINE] = " ".join(["clozekit", *overrides, last])
    # A line that cannot be composed has no completions; a message would corrupt it.
    with (
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(io.StringIO()),
        contextlib.suppress(Exception),
    ):
        run_verb(verb)
    return [*printed.getvalue().split(), *_nested(last)]


def _nested(last: str) -> list[str]:
    from clozekit.config.composition.location import conf_dir

    group, equals, begun = last.partition("=")
    folder = conf_dir() / group.lstrip("+")
    if not equals or not group or not folder.is_dir() or Path(group).is_absolute():
        return []
    names = [str(p.relative_to(folder).with_suffix("")) for p in folder.glob("*/*.yaml")]
    return [f"{group}={name}" for name in names if name.startswith(begun)]
