"""The exit codes of clozekit other than 0."""

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
