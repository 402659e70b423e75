"""Packing: sequences of different lengths are concatenated, to avoid computing on padding."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class TensorContainer:
    """Adds the methods `to` and `pin_memory` of tensors to a dataclass of tensors."""

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """Moves all tensors; takes the arguments of `torch.Tensor.to`."""
        return self.map_tensors(lambda tensor: tensor.to(*args, **kwargs))

    def pin_memory(self) -> Self:
        """Copies all tensors to pinned memory."""
        return self.map_tensors(lambda tensor: tensor.pin_memory())

    def map_tensors(self, function: Callable[[Tensor], Tensor]) -> Self:
        """Applies a function to all tensors."""
        changed: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Tensor):
                changed[field.name] = function(value)
            elif isinstance(value, TensorContainer):
                changed[field.name] = value.map_tensors(function)
        return replace(self, **changed)


@dataclass(frozen=True)
class Packing(TensorContainer):
    """The positions of the sequences in a packed batch.

    Attributes:
        cu_seqlens: `[batch + 1]`, int32. Sequence i has the tokens `cu_seqlens[i]` to
            `cu_seqlens[i + 1]`.
        position_ids: `[tokens]`, int64. The index of each token in its sequence.
        indices: `[tokens]`, int64. The index of each token in the flattened padded form
            `[batch * max_seqlen]`.
        max_seqlen: The length of the longest sequence.
        lengths: `[batch]`: the length of each sequence on the host, for decisions that should not
            wait for the device; None if they are not known there.
    """

    cu_seqlens: Tensor
    position_ids: Tensor
    indices: Tensor
    max_seqlen: int
    lengths: NDArray[np.integer[Any]] | None = None

    @property
    def batch_size(self) -> int:
        """The number of sequences."""
        return self.cu_seqlens.shape[0] - 1

    @property
    def num_tokens(self) -> int:
        """The total number of tokens."""
        return self.indices.shape[0]

    @property
    def is_full(self) -> bool:
        """Whether all sequences have the same length, so packed and padded form are the same."""
        return self.num_tokens == self.batch_size * self.max_seqlen

    @property
    def first_tokens(self) -> Tensor:
        """`[batch]`: the index of each sequence's first token, [CLS]."""
        return self.cu_seqlens[:-1]

    @property
    def sequence_ids(self) -> Tensor:
        """`[tokens]`, int64: the index of each token's sequence."""
        return self.indices.div(self.max_seqlen, rounding_mode="floor")

    @property
    def attention_mask(self) -> Tensor:
        """`[batch, max_seqlen]`, bool: True for real tokens of the padded form."""
        mask = self.indices.new_zeros(self.batch_size * self.max_seqlen, dtype=torch.bool)
        return mask.index_fill(0, self.indices, True).view(self.batch_size, self.max_seqlen)

    @classmethod
    def from_lengths(cls, lengths: NDArray[np.integer[Any]]) -> Self:
        """Packs sequences of the given lengths (`[batch]`, each at least 1)."""
        lengths = lengths.astype(np.int64)
        cu_seqlens = np.concatenate([[0], np.cumsum(lengths)])
        position_ids = np.arange(cu_seqlens[-1]) - np.repeat(cu_seqlens[:-1], lengths)
        max_seqlen = int(lengths.max())
        indices = position_ids + np.repeat(np.arange(len(lengths)) * max_seqlen, lengths)
        return cls(
            cu_seqlens=torch.from_numpy(cu_seqlens.astype(np.int32)),
            position_ids=torch.from_numpy(position_ids),
            indices=torch.from_numpy(indices),
            max_seqlen=max_seqlen,
            lengths=lengths,
        )

    @classmethod
    def from_attention_mask(cls, attention_mask: Tensor) -> Self:
        """Makes a packing from the attention mask of a padded batch.

        Args:
            attention_mask: `[batch, seq_len]`, non-zero for real tokens. Each row has at least one
                real token; they may be anywhere in the row.
        """
        mask = attention_mask.bool()
        lengths = mask.sum(dim=1)
        cu_seqlens = torch.nn.functional.pad(lengths.cumsum(0), (1, 0))
        rows, columns = mask.nonzero(as_tuple=True)
        return cls(
            cu_seqlens=cu_seqlens.to(torch.int32),
            # As in transformers' BERT, a token's position is its column.
            position_ids=columns,
            indices=rows * mask.shape[1] + columns,
            max_seqlen=mask.shape[1],
        )

    def pad(self, packed: Tensor) -> Tensor:
        """`[tokens, ...]` to `[batch, max_seqlen, ...]`, zero at padding."""
        padded_shape = (self.batch_size, self.max_seqlen, *packed.shape[1:])
        if self.is_full:
            return packed.view(padded_shape)
        flat = packed.new_zeros(self.batch_size * self.max_seqlen, *packed.shape[1:])
        return flat.index_copy_(0, self.indices, packed).view(padded_shape)

    def unpad(self, padded: Tensor) -> Tensor:
        """`[batch, max_seqlen, ...]` to `[tokens, ...]`."""
        flat = padded.flatten(0, 1)
        return flat if self.is_full else flat.index_select(0, self.indices)
