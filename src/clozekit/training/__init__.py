"""Trainer, callbacks and loggers: checkpoints, history, progress and signals."""
