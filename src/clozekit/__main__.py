"""`python -m clozekit`, the same as the command `clozekit`."""

import sys
from pathlib import Path


def main() -> None:
    """Runs the command without the current folder on `sys.path`, where `python -m` puts it first.

    A file in it with the name of a library would run in place of the library.
    """
    if not sys.flags.safe_path and sys.path and sys.path[0] == str(Path.cwd()):
        del sys.path[0]
    from clozekit.cli import main as run

    run()


if __name__ == "__main__":
    main()
