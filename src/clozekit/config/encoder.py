"""The encoder's configuration, with the key names of published checkpoints."""

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from clozekit.config.paths import PathText
from clozekit.config.values import Count

OWN_ENCODER = "clozekit.models.encoder.Encoder"
"""The default of `encoder._target_`."""


class EncoderConfig(BaseModel):
    """The sizes and constants of a BERT encoder (Devlin et al., 2019, section 3 and appendix A.2).

    If `target` is not the default, keys that are not listed here are allowed. They are attributes
    of this object, for use by the custom class.

    Attributes:
        target: The encoder class. A custom class, in a module in the current folder, must have the
            attributes and the `forward` of `clozekit.models.EncoderProtocol`, and may use
            additional keys of this group. The verbs that read its checkpoints need its module in
            `trusted_modules`.
        vocab_size: The number of token ids; by default taken from the tokenizer.
        hidden_size: The size of each token's hidden vector; a multiple of `num_attention_heads`.
        num_hidden_layers: The number of Transformer blocks.
        num_attention_heads: The number of attention heads per block.
        intermediate_size: The hidden size of the feed-forward layers.
        max_position_embeddings: The maximum sequence length.
        type_vocab_size: The number of segment ids.
        hidden_act: `gelu` (exact, with the error function) or `gelu_pytorch_tanh` (approximate).
        hidden_dropout_prob: The dropout of the embeddings and of each sub-layer's output.
        attention_probs_dropout_prob: The dropout of the attention probabilities.
        layer_norm_eps: The epsilon added to the variance in each LayerNorm.
        initializer_range: The standard deviation of the truncated normal for weight initialization.
        pretrained: The source of weights and sizes: a clozekit checkpoint or run folder, or a model
            folder in the transformers layout, local or on the Hugging Face Hub.
    """

    model_config = ConfigDict(extra="allow", frozen=True, populate_by_name=True)

    target: str = Field(OWN_ENCODER, alias="_target_", pattern=r"^\w+(\.\w+)+$")
    vocab_size: Count | None = None
    hidden_size: int = Field(768, gt=0, le=2**16)
    num_hidden_layers: int = Field(12, gt=0, le=1024)
    num_attention_heads: int = Field(12, gt=0, le=2**16)
    intermediate_size: int = Field(3072, gt=0, le=2**20)
    max_position_embeddings: int = Field(512, gt=0, le=2**24)
    type_vocab_size: int = Field(2, gt=0, le=2**16)
    hidden_act: Literal["gelu", "gelu_pytorch_tanh"] = "gelu"
    hidden_dropout_prob: float = Field(0.1, ge=0, lt=1)
    attention_probs_dropout_prob: float = Field(0.1, ge=0, lt=1)
    layer_norm_eps: float = Field(1e-12, gt=0, lt=1)
    initializer_range: float = Field(0.02, gt=0, le=10)
    pretrained: PathText | None = None

    @property
    def is_own(self) -> bool:
        """Whether the encoder is clozekit's own class."""
        return self.target == OWN_ENCODER

    def published(self) -> dict[str, Any]:
        """Returns the keys that published configurations share, with their values."""
        return self.model_dump(exclude={"target", "pretrained"})

    @model_validator(mode="after")
    def _check_unknown_keys(self) -> Self:
        if self.is_own and self.model_extra:
            raise ValidationError.from_exception_data(
                type(self).__name__,
                [
                    {"type": "extra_forbidden", "loc": (key,), "input": value}
                    for key, value in self.model_extra.items()
                ],
            )
        return self

    @model_validator(mode="after")
    def _check_head_size(self) -> Self:
        if self.is_own and self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size={self.hidden_size} is not divisible by "
                f"num_attention_heads={self.num_attention_heads}"
            )
        return self
