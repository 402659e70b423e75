"""Attention within a window around each token, whose cost per token does not grow with the text.

The packed tokens of a batch are cut into blocks. The tokens of a block attend to the block and to
half a window on each side of it, where a mask leaves those of the same sequence within the window
(Beltagy et al., 2020, section 3.1). Nothing is padded to the longest sequence.
"""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from clozekit.data.packing import Packing

_LEAST_BLOCK = 64


@dataclass(frozen=True)
class Blocks:
    """The blocks of a batch.

    Attributes:
        half_window: How many tokens a token sees on each side.
        size: The number of tokens of a block.
        mask: `[blocks, 1, size, size + 2 * half_window]`, bool: which keys each query attends to.
    """

    half_window: int
    size: int
    mask: Tensor

    @classmethod
    def of(cls, packing: Packing, half_window: int) -> Self:
        """Cuts a packed batch into blocks.

        Args:
            packing: The layout of the sequences. A token's distance to another is the difference
                of their `position_ids`.
            half_window: How many tokens a token sees on each side.
        """
        size = half_window * max(2, -(-_LEAST_BLOCK // half_window))
        num_tokens = packing.num_tokens
        sequences = packing.sequence_ids
        missing = -num_tokens % size
        # Padding is of a sequence of its own, which real tokens do not see, and sees itself.
        sequences = F.pad(sequences, (half_window, missing + half_window), value=-1)
        positions = F.pad(packing.position_ids, (half_window, missing + half_window))
        width = size + 2 * half_window
        key_sequences = sequences.unfold(0, width, size)[:, None, :]
        key_positions = positions.unfold(0, width, size)[:, None, :]
        inside = slice(half_window, half_window + num_tokens + missing)
        query_sequences = sequences[inside].view(-1, size, 1)
        query_positions = positions[inside].view(-1, size, 1)
        is_near = (query_positions - key_positions).abs() <= half_window
        mask = (query_sequences == key_sequences) & is_near
        return cls(half_window, size, mask[:, None])


def attend(qkv: Tensor, blocks: Blocks, dropout_prob: float) -> Tensor:
    """Computes attention within the window of each token.

    Args:
        qkv: `[tokens, 3, heads, head_dim]`.
        blocks: The blocks of the batch.
        dropout_prob: The probability that a weight is dropped.

    Returns:
        `[tokens, heads, head_dim]`.
    """
    num_tokens, half_window = qkv.shape[0], blocks.half_window
    missing = -num_tokens % blocks.size
    heads = qkv.shape[2:]
    query = F.pad(qkv[:, 0], (0, 0, 0, 0, 0, missing)).view(-1, blocks.size, *heads)
    around = F.pad(qkv[:, 1:], (0, 0, 0, 0, 0, 0, half_window, missing + half_window))
    # Strides of slices, because the gradient of overlapping windows by `unfold` is slow.
    parts, step = around.view(-1, half_window, 2, *heads), blocks.size // half_window
    windows = torch.stack(
        [parts[first : first + len(query) * step : step] for first in range(step + 2)], dim=1
    )
    # [blocks, parts, half_window, 2, heads, head_dim] to twice [blocks, heads, width, head_dim].
    key, value = windows.flatten(1, 2).transpose(1, 3).unbind(2)
    context = F.scaled_dot_product_attention(
        query.transpose(1, 2), key, value, attn_mask=blocks.mask, dropout_p=dropout_prob
    )
    # [blocks, heads, size, head_dim] to [tokens, heads, head_dim].
    return context.transpose(1, 2).flatten(0, 1)[:num_tokens]
