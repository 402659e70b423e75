"""Task modules of a few thousand parameters."""

from functools import partial
from typing import Any

import torch

from clozekit.config.encoder import EncoderConfig
from clozekit.config.schedule import ScheduleConfig


def small_encoder(vocab_size: int) -> EncoderConfig:
    return EncoderConfig(
        vocab_size=vocab_size,
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=128,
        max_position_embeddings=64,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )


def training_arguments(**changes: Any) -> dict[str, Any]:
    return {
        "optimizer": partial(torch.optim.AdamW, lr=1e-3),
        "schedule": ScheduleConfig(decay="constant"),
        "max_steps": 100,
        "weight_decay": 0.01,
        "log_every_n_steps": 10,
    } | changes
