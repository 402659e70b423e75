"""A run's folder: its identity, its record, its checkpoints, its results and plots."""
