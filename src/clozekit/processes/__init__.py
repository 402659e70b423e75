"""Signals, worker processes, and jobs of Slurm."""
