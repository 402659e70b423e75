"""The exit codes of clozekit other than 0, and those of errors."""

from clozekit.errors import UserError

FAILED = 1
"""Any other error."""

USER_ERROR = 2
"""An error that the user can fix."""

PREEMPTED = 75
"""EX_TEMPFAIL of sysexits.h: the run can be resumed."""

PRUNED = 76
"""The pruner of a sweep has ended the run early. It can be resumed, too."""

INTERRUPTED = 130
"""The exit code that shells report for a program killed by SIGINT."""

READER_ENDED = 141
"""The exit code that shells report for a program killed by SIGPIPE, as in `cat FILE | head -1`."""

TERMINATED = 143
"""The exit code that shells report for a program ended by SIGTERM: a run that saved nothing."""


def exit_code_of(error: BaseException | None) -> int:
    """Returns the exit code of the process for an error."""
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else FAILED
    if isinstance(error, UserError | OSError):
        return USER_ERROR
    return 0 if error is None else FAILED
