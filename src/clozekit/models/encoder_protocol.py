"""The interface of an encoder, for users who write their own."""

from collections.abc import Iterator
from typing import Any, Protocol, Self

from torch import Tensor, nn

from clozekit.config.encoder import EncoderConfig
from clozekit.data.packing import Packing
from clozekit.models.encoder import EncoderOutput


class EmbeddingsProtocol(Protocol):
    """A module with the token embedding and everything else before the first block."""

    @property
    def token_embeddings(self) -> nn.Embedding:
        """The embedding of token ids, `[vocab, hidden]`; the masked LM head shares its weight."""
        ...

    def parameters(self) -> Iterator[nn.Parameter]:
        """As in `torch.nn.Module`."""
        ...


class EncoderProtocol(Protocol):
    """The interface of an encoder for tasks, optimizers and training. `Encoder` implements it.

    `encoder._target_` may be any `torch.nn.Module` with this interface and a constructor that takes
    `(config: EncoderConfig, add_pooling_layer: bool)`. Additional keys in the group `encoder` are
    attributes of `config`.

    Attributes:
        activation_checkpointing: The value of the config key, set after construction.
    """

    activation_checkpointing: bool

    @property
    def config(self) -> EncoderConfig:
        """The configuration of the encoder."""
        ...

    @property
    def embeddings(self) -> EmbeddingsProtocol:
        """The embeddings; `fine_tuning.layerwise_lr_decay` gives them the smallest rate."""
        ...

    @property
    def blocks(self) -> nn.ModuleList:
        """The layers from bottom to top, for `layerwise_lr_decay` and `reinit_layers`."""
        ...

    @property
    def pooler(self) -> nn.Module | None:
        """The module that computes `pooled_output`; None if `add_pooling_layer` is false."""
        ...

    def __call__(
        self, input_ids: Tensor, token_type_ids: Tensor | None = None, *, packing: Packing
    ) -> EncoderOutput:
        """Encodes a packed batch (`forward` of the module).

        Args:
            input_ids: `[tokens]`.
            token_type_ids: `[tokens]`, or None if all tokens are of segment 0.
            packing: The layout of the sequences.

        Returns:
            `sequence_output` of `[tokens, hidden]`, and `pooled_output` of `[batch, hidden]`, or
            None if `add_pooling_layer` is false.
        """
        ...

    def parameters(self) -> Iterator[nn.Parameter]:
        """As in `torch.nn.Module`."""
        ...

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """As in `torch.nn.Module`."""
        ...

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """As in `torch.nn.Module`."""
        ...
