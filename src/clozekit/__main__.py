"""`python -m clozekit`, the same as the command `clozekit`."""

from clozekit.cli import main

if __name__ == "__main__":
    main()
