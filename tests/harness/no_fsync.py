"""Writing without waiting for the disk."""

import os


def leave_out_fsync() -> None:
    """Lets this process, and those that it forks, not wait until what they write is on disk.

    That matters after a power failure alone. A kill, of which the tests have many, loses nothing
    that was written.
    """
    os.fsync = lambda descriptor: None  # type: ignore[assignment]
