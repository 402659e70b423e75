"""Pretrain BERT on your own text, fine-tune it on your own task, sweep it, resume it."""

__version__ = "0.1.0"
