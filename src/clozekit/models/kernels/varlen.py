"""Attention over packed sequences on the GPU, without the padded form."""

import torch
from torch import Tensor

from clozekit.data.packing import Packing

try:
    from torch.nn.attention.varlen import varlen_attn
except ImportError:  # torch before 2.10
    varlen_attn = None  # type: ignore[assignment]

OLDEST_CAPABILITY = (8, 0)
"""Ampere, the first that FlashAttention 2 supports (Dao, 2023)."""
WIDEST_HEAD = 256


def can_attend(qkv: Tensor, dropout_prob: float) -> bool:
    """Whether `attend` can be used for such a tensor: half precision, on a GPU, no dropout."""
    return (
        varlen_attn is not None
        and qkv.device.type == "cuda"
        and qkv.dtype in (torch.float16, torch.bfloat16)
        and dropout_prob == 0
        and qkv.shape[-1] <= WIDEST_HEAD
        and torch.cuda.get_device_capability(qkv.device) >= OLDEST_CAPABILITY
    )


def attend(qkv: Tensor, packing: Packing) -> Tensor:
    """Computes attention within each sequence.

    Args:
        qkv: `[tokens, 3, heads, head_dim]`.
        packing: The layout of the sequences.

    Returns:
        `[tokens, heads, head_dim]`.
    """
    ends, longest = packing.cu_seqlens, packing.max_seqlen
    query, key, value = qkv.unbind(1)
    context = varlen_attn(query, key, value, ends, ends, longest, longest)
    assert isinstance(context, Tensor)
    return context
