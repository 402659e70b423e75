"""Reading rows from files."""
