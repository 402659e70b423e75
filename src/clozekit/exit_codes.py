"""What clozekit exits with, beside 0 and 1."""

USER_ERROR = 2
"""The user has to mend something."""

PREEMPTED = 75
"""EX_TEMPFAIL of sysexits.h: the run can go on where it was."""

INTERRUPTED = 130
"""What a shell gives a program that SIGINT ended."""
