"""Sweeps: runs jobs in separate processes, keeps a record of them, and reports their results."""
