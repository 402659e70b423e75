"""Labelled rows: one file per task, and the code that the tasks share."""
