"""What all layers of an encoder need to know about a batch, computed once."""

from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from clozekit.config.encoder import EncoderConfig
from clozekit.models.kernels.grouping import Grouping
from clozekit.models.kernels.local_attention import Blocks


class Rotation(NamedTuple):
    """The angles by which queries and keys are rotated: `[tokens, 1, 1, head_dim / 2]` each."""

    cos: Tensor
    sin: Tensor


@dataclass(frozen=True)
class Layout:
    """The sequences of a batch.

    Attributes:
        grouping: The layout of the sequences, and which of them are padded together.
        global_rotation: The rotation in layers with global attention; None with absolute positions.
        local_rotation: The rotation in layers with local attention; None with absolute positions,
            or without such layers.
        half_window: How many tokens a token sees on each side in layers with local attention; None
            if there are no such layers, or if the window covers every sequence.
        blocks: Which tokens see each other in layers with local attention; None if `half_window`
            is, or if FlashAttention is used, which needs no blocks.
    """

    grouping: Grouping
    global_rotation: Rotation | None = None
    local_rotation: Rotation | None = None
    half_window: int | None = None
    blocks: Blocks | None = None

    @classmethod
    def of(cls, grouping: Grouping, config: EncoderConfig, needs_blocks: bool) -> "Layout":
        """Computes what an encoder with this configuration needs.

        Args:
            grouping: The sequences.
            config: The configuration.
            needs_blocks: Whether local attention is computed in blocks.
        """
        packing = grouping.packing
        layout = cls.without_window(grouping, config)
        half_window = None if config.local_attention is None else config.local_attention // 2
        if half_window is None or packing.max_seqlen <= half_window + 1:
            return layout
        blocks = Blocks.of(packing, half_window) if needs_blocks else None
        return replace(layout, half_window=half_window, blocks=blocks)

    @classmethod
    def without_window(cls, grouping: Grouping, config: EncoderConfig) -> "Layout":
        """Computes the rotations; local attention is left to the mask of the grouping."""
        if config.position_embedding_type == "absolute":
            return cls(grouping)
        positions = grouping.packing.position_ids
        head_dim = config.hidden_size // config.num_attention_heads
        layout = cls(grouping, rotation(positions, head_dim, config.global_rope_theta))
        if config.local_attention is None:
            return layout
        local_rotation = rotation(positions, head_dim, config.local_rope_theta)
        return replace(layout, local_rotation=local_rotation)


def rotation(position_ids: Tensor, head_dim: int, theta: float) -> Rotation:
    """Computes the angles of rotary position embeddings (Su et al., 2021, section 3.2.2).

    Args:
        position_ids: `[tokens]`: the position of each token in its own sequence.
        head_dim: The width of a head.
        theta: The base of the wavelengths.
    """
    exponents = torch.arange(0, head_dim, 2, dtype=torch.float32, device=position_ids.device)
    frequencies = 1.0 / theta ** (exponents / head_dim)
    angles = (position_ids[:, None].float() * frequencies)[:, None, None, :]
    return Rotation(angles.cos(), angles.sin())


def rotate(qkv: Tensor, by: Rotation) -> Tensor:
    """Rotates queries and keys, in float32 at least.

    The first half of a head and the second are the two coordinates, as in GPT-NeoX and in
    transformers.

    Args:
        qkv: `[tokens, 3, heads, head_dim]`.
        by: The rotation of each token.
    """
    first, second = qkv[:, :2].chunk(2, dim=-1)
    rotated = torch.cat(
        [first * by.cos - second * by.sin, second * by.cos + first * by.sin], dim=-1
    )
    return torch.cat([rotated.to(qkv.dtype), qkv[:, 2:]], dim=1)
