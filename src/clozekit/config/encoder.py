"""The encoder's configuration, in the words of the published checkpoints."""

from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

OWN_ENCODER = "clozekit.models.encoder.Encoder"
"""The class that `encoder._target_` names by default."""


class EncoderConfig(BaseModel):
    """The sizes and constants of a BERT encoder (Devlin et al., 2019, section 3 and appendix A.2).

    With another `target` than the default, it also holds the keys that are not listed here: they
    are for the class that is named, which reads them as attributes.

    Attributes:
        target: The class of the encoder. A class of your own, in a module that lies in the current
            folder, has the attributes and the `forward` of `clozekit.models.EncoderProtocol`, and
            may take more keys in this group.
        vocab_size: The number of token ids; taken from the tokenizer where it is not given.
        hidden_size: The width of every token's vector; a multiple of `num_attention_heads`.
        num_hidden_layers: The number of Transformer blocks.
        num_attention_heads: The number of attention heads of a block.
        intermediate_size: The width of the feed-forward layer.
        max_position_embeddings: The longest sequence that the encoder can read.
        type_vocab_size: The number of segments.
        hidden_act: `gelu` (exact, by the error function) or `gelu_pytorch_tanh` (approximate).
        hidden_dropout_prob: Dropout of the embeddings and of every sub-layer's output.
        attention_probs_dropout_prob: Dropout of the attention's probabilities.
        layer_norm_eps: Added to the variance by every LayerNorm.
        initializer_range: The standard deviation of the truncated normal that weights start from.
        pretrained: Where weights and sizes come from: a checkpoint or run folder of clozekit, or a
            model folder in the layout of transformers, here or on the Hugging Face hub.
    """

    model_config = ConfigDict(extra="allow", frozen=True, populate_by_name=True)

    target: str = Field(OWN_ENCODER, alias="_target_", pattern=r"^\w+(\.\w+)+$")
    vocab_size: int | None = Field(None, gt=0)
    hidden_size: int = Field(768, gt=0)
    num_hidden_layers: int = Field(12, gt=0)
    num_attention_heads: int = Field(12, gt=0)
    intermediate_size: int = Field(3072, gt=0)
    max_position_embeddings: int = Field(512, gt=0)
    type_vocab_size: int = Field(2, gt=0)
    hidden_act: Literal["gelu", "gelu_pytorch_tanh"] = "gelu"
    hidden_dropout_prob: float = Field(0.1, ge=0, lt=1)
    attention_probs_dropout_prob: float = Field(0.1, ge=0, lt=1)
    layer_norm_eps: float = Field(1e-12, gt=0)
    initializer_range: float = Field(0.02, gt=0)
    pretrained: str | None = None

    @property
    def is_own(self) -> bool:
        """Whether the encoder is clozekit's own class."""
        return self.target == OWN_ENCODER

    def published(self) -> dict[str, Any]:
        """Gives the keys that published configurations have too, with their values."""
        return self.model_dump(exclude={"target", "pretrained"})

    @model_validator(mode="after")
    def _no_unknown_keys(self) -> Self:
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
    def _heads_divide_the_width(self) -> Self:
        if self.is_own and self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size={self.hidden_size} is not divisible by "
                f"num_attention_heads={self.num_attention_heads}"
            )
        return self
