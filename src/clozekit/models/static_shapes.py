"""A compiled encoder for packed batches of a few static shapes.

Packed batches have a different number of tokens each, and `torch.compile` with static shapes makes
one graph for each. So batches are padded: with tokens in sequences of their own at the end, and
with empty sequences. Nothing attends to them, and they are cut off the output.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from clozekit.data.packing import Packing
from clozekit.models.encoder import EncoderOutput

MULTIPLE_OF_SEQUENCES = 8
MULTIPLE_OF_SEQ_LEN = 64
MOST_GRAPHS = 64
"""torch's default of 8 is for graphs that are made again by mistake; others run uncompiled."""


@dataclass(frozen=True)
class StaticShapes:
    """The shapes to which packed batches are padded.

    Attributes:
        tokens: The number of tokens is a multiple of it.
        longest_sequence: The maximum of `max_seqlen`.
    """

    tokens: int
    longest_sequence: int

    def padded(self, packing: Packing) -> Packing:
        """Adds sequences of padding, so that sizes are multiples. Nothing is read by the host.

        The last sequence is never empty, so each sequence, also an empty one, has a first token.
        """
        device = packing.indices.device
        num_tokens, batch_size = packing.num_tokens, packing.batch_size
        limit = max(self.longest_sequence, packing.max_seqlen)
        max_seqlen = min(_round_up(packing.max_seqlen, MULTIPLE_OF_SEQ_LEN), limit)
        new_tokens = _round_up(num_tokens + 1, self.tokens) - num_tokens
        num_sequences = -(-new_tokens // max_seqlen)
        # As many as the most padding needs, so that their number is the same for any padding.
        most_sequences = -(-self.tokens // max_seqlen)
        num_empty = (
            _round_up(batch_size + most_sequences, MULTIPLE_OF_SEQUENCES)
            - batch_size
            - num_sequences
        )
        places = torch.arange(new_tokens, device=device)
        ends = num_tokens + max_seqlen * torch.arange(1, num_sequences + 1, device=device)
        cu_seqlens = [
            packing.cu_seqlens,
            packing.cu_seqlens.new_full((num_empty,), num_tokens),
            ends.clamp(max=num_tokens + new_tokens).to(packing.cu_seqlens.dtype),
        ]
        indices = packing.indices
        if max_seqlen != packing.max_seqlen:
            indices = indices + packing.sequence_ids * (max_seqlen - packing.max_seqlen)
        return Packing(
            cu_seqlens=torch.cat(cu_seqlens),
            position_ids=torch.cat([packing.position_ids, places % max_seqlen]),
            indices=torch.cat([indices, (batch_size + num_empty) * max_seqlen + places]),
            max_seqlen=max_seqlen,
        )


class StaticEncoder:
    """Runs an encoder compiled for static shapes.

    Args:
        encoder: The encoder. Called by itself it is not compiled.
        tokens: Batches are padded to a multiple of this number of tokens.
        **options: The arguments of `torch.compile`.
    """

    def __init__(self, encoder: nn.Module, tokens: int, **options: Any) -> None:
        config: Any = encoder.config
        self.shapes = StaticShapes(tokens, config.longest_sequence)
        self._compiled = torch.compile(encoder, **options)
        dynamo: Any = torch._dynamo.config
        dynamo.recompile_limit = max(dynamo.recompile_limit, MOST_GRAPHS)

    def __call__(
        self, input_ids: Tensor, token_type_ids: Tensor | None, packing: Packing
    ) -> EncoderOutput:
        """Encodes a packed batch; arguments and output are those of the encoder."""
        padded = self.shapes.padded(packing)
        new_tokens = padded.num_tokens - packing.num_tokens
        # A CUDA graph may overwrite the output of the micro-batch before, whose backward is done.
        torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
        output: EncoderOutput = self._compiled(
            F.pad(input_ids, (0, new_tokens)),
            None if token_type_ids is None else F.pad(token_type_ids, (0, new_tokens)),
            packing=padded,
        )
        pooled = output.pooled_output
        return EncoderOutput(
            output.sequence_output[: packing.num_tokens],
            None if pooled is None else pooled[: packing.batch_size],
        )


def _round_up(number: int, multiple: int) -> int:
    return -(-number // multiple) * multiple
