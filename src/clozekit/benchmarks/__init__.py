"""Benchmarks: the jobs of a suite on one or several checkpoints, their scores and comparison."""
