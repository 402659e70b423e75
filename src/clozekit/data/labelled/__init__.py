"""Rows with labels: one file per task, and what the tasks share."""
