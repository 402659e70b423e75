"""Faster implementations of plain operations, each tested against the plain operation."""
