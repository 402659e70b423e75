"""Attention over packed sequences on the GPU, without the padded form.

torch has FlashAttention 2 (Dao, 2023) for packed sequences, with dropout and with a gradient.
`torch.nn.attention.varlen` calls the same operator, but always without dropout.
"""

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from clozekit.data.packing import Packing

OLDEST_CAPABILITY = (8, 0)
"""Ampere, the first that FlashAttention 2 supports."""
WIDEST_HEAD = 256
WIDEST_HEAD_EVERYWHERE = 192
"""Wider heads need more shared memory in backward than most GPUs have."""
LARGE_CAPABILITIES = ((8, 0), (9, 0), (10, 0))
"""GPUs with enough shared memory for the widest heads: A100, H100 and B200."""

_MULTIPLE = 8
"""`head_dim` must be a multiple: the kernel loads 16 bytes at a time."""
_LEVELS = 256
"""The kernel draws one byte for each weight."""


def reason_against(device: torch.device, dtype: torch.dtype, head_dim: int) -> str | None:
    """Decides whether `attend` can be used.

    Args:
        device: The device of the query, key and value.
        dtype: Their dtype.
        head_dim: The width of a head.

    Returns:
        Why it cannot be used; None if it can.
    """
    if device.type != "cuda":
        return f"the device is {device.type}"
    if dtype not in (torch.float16, torch.bfloat16):
        return f"attention is computed in {str(dtype).removeprefix('torch.')}"
    if head_dim > WIDEST_HEAD:
        return f"a head of width {head_dim} is wider than {WIDEST_HEAD}"
    reason: str | None = _reason_of_gpu(device)
    if reason is None and head_dim > WIDEST_HEAD_EVERYWHERE:
        reason = _reason_of_memory(device)
    return reason


# While compiling, the answers are constants of the graph.
@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def _reason_of_gpu(device: torch.device) -> str | None:
    if torch.version.hip is not None:
        return "FlashAttention is used only on GPUs of NVIDIA"
    if not torch.backends.cuda.is_flash_attention_available():
        return "this build of torch has no FlashAttention"
    if not torch.backends.cuda.flash_sdp_enabled():  # type: ignore[no-untyped-call]
        return "FlashAttention is disabled in torch.backends.cuda"
    capability = torch.cuda.get_device_capability(device)
    if capability < OLDEST_CAPABILITY:
        return f"the GPU's compute capability {_version(capability)} is older than 8.0"
    return None


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]
def _reason_of_memory(device: torch.device) -> str | None:
    capability = torch.cuda.get_device_capability(device)
    if capability in LARGE_CAPABILITIES:
        return None
    return (
        f"a GPU of compute capability {_version(capability)} has too little memory for heads wider "
        f"than {WIDEST_HEAD_EVERYWHERE}"
    )


def _version(capability: tuple[int, int]) -> str:
    return ".".join(map(str, capability))


def can_attend(qkv: Tensor) -> bool:
    """Whether `attend` can be used for `[tokens, 3, heads, head_dim]`; see `reason_against`."""
    return reason_against(qkv.device, qkv.dtype, qkv.shape[-1]) is None


def attend(
    qkv: Tensor, packing: Packing, dropout_prob: float, half_window: int | None = None
) -> Tensor:
    """Computes attention within each sequence, with dropout of the weights.

    Dropout is drawn from the default generator of the device. Its probability is rounded to a
    multiple of 1/256, which the kernel can draw exactly; so the mean of the weights is kept.

    Args:
        qkv: `[tokens, 3, heads, head_dim]`.
        packing: The layout of the sequences. Sequences may be empty, and `max_seqlen` may be
            larger than the longest. Every token belongs to a sequence, and no sequence is longer
            than `max_seqlen`: the output of other tokens would be undefined.
        dropout_prob: The probability that a weight is dropped, in [0, 1).
        half_window: How many tokens a token sees on each side; None for its whole sequence. Only
            blocks within the window are computed.

    Returns:
        `[tokens, heads, head_dim]`.
    """
    head_dim = qkv.shape[-1]
    missing = -head_dim % _MULTIPLE
    if missing:
        # Zeros do not change the products of query and key; the output's are cut off again.
        qkv = F.pad(qkv, (0, missing))
    query, key, value = qkv.unbind(1)
    ends, longest = packing.cu_seqlens, packing.max_seqlen
    context, *_ = torch.ops.aten._flash_attention_forward.default(
        query,
        key,
        value,
        ends,
        ends,
        longest,
        longest,
        drawn_probability(dropout_prob),
        False,  # is_causal
        False,  # return_debug_mask
        scale=head_dim**-0.5,
        window_size_left=half_window,
        window_size_right=half_window,
    )
    assert isinstance(context, Tensor)
    return context[..., :head_dim] if missing else context


def drawn_probability(dropout_prob: float) -> float:
    """Rounds a probability of dropout to one that the kernel draws exactly.

    The kernel keeps a weight if a random byte is at most `floor((1 - p) * 255)`, and divides the
    kept weights by `1 - p`. These agree for a multiple of 1/256; for 0.1 itself the mean of the
    weights would be 0.2 % too small.
    """
    return min(round(dropout_prob * _LEVELS), _LEVELS - 1) / _LEVELS
