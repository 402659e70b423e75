"""The run folder: its id, record, checkpoints, results and plots."""
