"""The encoder: from token ids to one vector per token and one per sequence."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from clozekit.config.encoder import EncoderConfig
from clozekit.data.packing import Packing
from clozekit.models.attention import reason_for_padding
from clozekit.models.blocks import Block, PreNormBlock, layer_norm
from clozekit.models.embeddings import Embeddings
from clozekit.models.initialization import init_weights
from clozekit.models.kernels.grouping import Grouping
from clozekit.models.layout import Layout
from clozekit.models.pooling import first_tokens, make_pooler, means
from clozekit.models.precision import product_dtype


class EncoderOutput(NamedTuple):
    """The output of an encoder.

    Attributes:
        sequence_output: `[tokens, hidden]` of packed input; `[batch, seq_len, hidden]` of padded
            input, zero at padding.
        pooled_output: `[batch, hidden]`, or None if the encoder has no pooling layer.
    """

    sequence_output: Tensor
    pooled_output: Tensor | None


class Encoder(nn.Module):
    """Embeddings, then Transformer blocks.

    BERT (Devlin et al., 2019) by default. Other parts, such as pre-norm blocks and rotary
    positions, are chosen by the configuration.

    Args:
        config: The sizes; `vocab_size` must be given.
        add_pooling_layer: Whether to compute `pooled_output`, for tasks on whole sequences.

    Attributes:
        activation_checkpointing: Whether backward recomputes the activations inside each block, so
            that only the inputs of blocks are kept (Chen et al., 2016). It needs less memory, and a
            third more operations.

    Raises:
        ValueError: If the configuration has no `vocab_size`.
    """

    def __init__(self, config: EncoderConfig, add_pooling_layer: bool = True) -> None:
        super().__init__()
        self.config = config
        self.activation_checkpointing = False
        self.embeddings = Embeddings(config)
        is_pre_norm = config.norm_position == "pre"
        make_block = PreNormBlock if is_pre_norm else Block
        self.blocks = nn.ModuleList(make_block(config, i) for i in range(config.num_hidden_layers))
        self.final_norm = layer_norm(config) if is_pre_norm else nn.Identity()
        self.pooler = make_pooler(config) if add_pooling_layer else None
        self._represent = means if config.pooling == "mean" else first_tokens
        init_weights(self, config.initializer_range)

    def forward(
        self,
        input_ids: Tensor,
        token_type_ids: Tensor | None = None,
        *,
        attention_mask: Tensor | None = None,
        packing: Packing | None = None,
    ) -> EncoderOutput:
        """Encodes a packed or a padded batch. Either way, only real tokens are computed.

        Args:
            input_ids: `[tokens]` with `packing`, else `[batch, seq_len]`.
            token_type_ids: The segment of every token, in the shape of `input_ids`; None if all
                are of segment 0.
            attention_mask: `[batch, seq_len]`, for padded input: non-zero at real tokens, at least
                one of them in every row; None if there is no padding.
            packing: The layout of packed input.

        Returns:
            The vectors, packed or padded as the input is.

        Raises:
            ValueError: If a sequence is longer than `max_position_embeddings`, or the arguments'
                shapes do not match.
        """
        if packing is not None:
            if attention_mask is not None:
                raise ValueError("attention_mask and packing cannot both be given")
            return self._encode(input_ids, token_type_ids, packing)

        packing = _packing_of_padded(input_ids, attention_mask)
        output = self._encode(
            packing.unpad(input_ids),
            None if token_type_ids is None else packing.unpad(token_type_ids),
            packing,
        )
        return output._replace(sequence_output=packing.pad(output.sequence_output))

    def _encode(
        self, input_ids: Tensor, token_type_ids: Tensor | None, packing: Packing
    ) -> EncoderOutput:
        self._check(input_ids, packing)
        grouping = self._grouping(packing)
        hidden_states = self.embeddings(
            grouping.arrange(input_ids),
            None if token_type_ids is None else grouping.arrange(token_type_ids),
            grouping.arrange(packing.position_ids),
        )
        layout = Layout.of(grouping, self.config, self._needs_padding(packing))
        for block in self.blocks:
            if self.activation_checkpointing and torch.is_grad_enabled():
                hidden_states = checkpoint(block, hidden_states, layout, use_reentrant=False)
            else:
                hidden_states = block(hidden_states, layout)
        hidden_states = grouping.restore(self.final_norm(hidden_states))
        return EncoderOutput(hidden_states, self._pool(hidden_states, packing))

    def _pool(self, hidden_states: Tensor, packing: Packing) -> Tensor | None:
        if self.pooler is None:
            return None
        pooled: Tensor = self.pooler(self._represent(hidden_states, packing))
        return pooled

    def _needs_padding(self, packing: Packing) -> bool:
        """Whether attention has the padded form, and local attention that in blocks."""
        device = packing.indices.device
        if device.type not in ("cpu", "cuda"):
            return True
        dtype = product_dtype(self.embeddings.token_embeddings.weight)
        return reason_for_padding(self.config, device, dtype) is not None

    def _grouping(self, packing: Packing) -> Grouping:
        # While compiling the lengths are not known.
        if torch.compiler.is_compiling() or packing.is_full:
            return Grouping.single_group(packing)
        device = packing.indices.device.type
        if device == "cpu":
            return Grouping.by_length(packing)
        # Without lengths on the host, reading them would wait for the GPU.
        if device == "cuda" and packing.lengths is not None and self._needs_padding(packing):
            return Grouping.by_length(packing)
        return Grouping.single_group(packing)

    def _check(self, input_ids: Tensor, packing: Packing) -> None:
        if packing.max_seqlen > self.config.longest_sequence:
            raise ValueError(
                f"a sequence of {packing.max_seqlen} tokens is longer than "
                f"{self.config.limit_in_words}"
            )
        if input_ids.shape != packing.indices.shape:
            raise ValueError(
                f"input_ids of shape {list(input_ids.shape)} does not match a packing of "
                f"{packing.num_tokens} tokens"
            )


def _packing_of_padded(input_ids: Tensor, attention_mask: Tensor | None) -> Packing:
    if input_ids.ndim != 2:
        raise ValueError(
            f"input_ids of shape {list(input_ids.shape)} must be [batch, seq_len] without packing"
        )
    if attention_mask is None:
        return full_packing(input_ids)
    if attention_mask.shape != input_ids.shape:
        raise ValueError(
            f"attention_mask of shape {list(attention_mask.shape)} does not match input_ids of "
            f"shape {list(input_ids.shape)}"
        )
    return Packing.from_attention_mask(attention_mask)


def full_packing(input_ids: Tensor) -> Packing:
    """Returns the packing of `[batch, seq_len]` ids without padding, and without a device sync."""
    batch_size, seq_len = input_ids.shape
    device = input_ids.device
    return Packing(
        cu_seqlens=torch.arange(batch_size + 1, dtype=torch.int32, device=device) * seq_len,
        position_ids=torch.arange(seq_len, device=device).repeat(batch_size),
        indices=torch.arange(batch_size * seq_len, device=device),
        max_seqlen=seq_len,
    )
