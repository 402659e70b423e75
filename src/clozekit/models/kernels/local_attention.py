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
        reach: How many tokens a token sees on each side.
        size: The number of tokens of a block.
        mask: `[blocks, 1, size, size + 2 * reach]`, bool: which keys each query attends to.
    """

    reach: int
    size: int
    mask: Tensor

    @classmethod
    def of(cls, packing: Packing, reach: int) -> Self:
        """Cuts a packed batch into blocks.

        Args:
            packing: The layout of the sequences. A token's distance to another is the difference
                of their `position_ids`.
            reach: How many tokens a token sees on each side.
        """
        size = reach * max(2, -(-_LEAST_BLOCK // reach))
        num_tokens = packing.num_tokens
        sequences = packing.slots.div(packing.max_seqlen, rounding_mode="floor")
        missing = -num_tokens % size
        # Padding is of a sequence of its own, which real tokens do not see, and sees itself.
        sequences = F.pad(sequences, (reach, missing + reach), value=-1)
        positions = F.pad(packing.position_ids, (reach, missing + reach))
        width = size + 2 * reach
        key_sequences = sequences.unfold(0, width, size)[:, None, :]
        key_positions = positions.unfold(0, width, size)[:, None, :]
        inside = slice(reach, reach + num_tokens + missing)
        query_sequences = sequences[inside].view(-1, size, 1)
        query_positions = positions[inside].view(-1, size, 1)
        is_near = (query_positions - key_positions).abs() <= reach
        mask = (query_sequences == key_sequences) & is_near
        return cls(reach, size, mask[:, None])


def attend(qkv: Tensor, blocks: Blocks, dropout_prob: float) -> Tensor:
    """Computes attention within the window of each token.

    Args:
        qkv: `[tokens, 3, heads, head_dim]`.
        blocks: The blocks of the batch.
        dropout_prob: The probability that a weight is dropped.

    Returns:
        `[tokens, heads, head_dim]`.
    """
    num_tokens, reach = qkv.shape[0], blocks.reach
    missing = -num_tokens % blocks.size
    heads = qkv.shape[2:]
    query = F.pad(qkv[:, 0], (0, 0, 0, 0, 0, missing)).view(-1, blocks.size, *heads)
    around = F.pad(qkv[:, 1:], (0, 0, 0, 0, 0, 0, reach, missing + reach))
    # Strides of slices, because the gradient of overlapping windows by `unfold` is slow.
    parts, step = around.view(-1, reach, 2, *heads), blocks.size // reach
    windows = torch.stack(
        [parts[first : first + len(query) * step : step] for first in range(step + 2)], dim=1
    )
    # [blocks, parts, reach, 2, heads, head_dim] to twice [blocks, heads, width, head_dim].
    key, value = windows.flatten(1, 2).transpose(1, 3).unbind(2)
    context = F.scaled_dot_product_attention(
        query.transpose(1, 2), key, value, attn_mask=blocks.mask, dropout_p=dropout_prob
    )
    # [blocks, heads, size, head_dim] to [tokens, heads, head_dim].
    return context.transpose(1, 2).flatten(0, 1)[:num_tokens]
