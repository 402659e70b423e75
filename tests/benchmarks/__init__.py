"""Tests of clozekit.benchmarks."""
