"""The errors that a user can mend; the command prints them in one line and exits with 2."""


class UserError(Exception):
    """Something that the user gave cannot be used; the message says what, and what is allowed."""


class ConfigError(UserError):
    """A configuration key has a value that cannot be used."""


class DataError(UserError):
    """A file of the user's cannot be read as what it should be; the message names file and line."""
