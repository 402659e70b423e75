"""Errors that the user can fix. The command prints them in one line and exits with code 2."""


class UserError(Exception):
    """Invalid user input; the message names the input and what is allowed."""


class ConfigError(UserError):
    """A configuration key has an invalid value."""


class DataError(UserError):
    """A data file is invalid; the message names the file and line."""
