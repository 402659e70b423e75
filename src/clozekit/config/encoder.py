"""The encoder's configuration, with the key names of published checkpoints."""

from typing import Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from clozekit.config.paths import PathText
from clozekit.config.values import Count

OWN_ENCODER = "clozekit.models.encoder.Encoder"
"""The default of `encoder._target_`."""

PARTS = (
    *("norm_position", "position_embedding_type", "global_rope_theta", "local_rope_theta"),
    *("local_attention", "global_attn_every_n_layers", "gated_feed_forward"),
    *("attention_bias", "mlp_bias", "norm_bias"),
    *("classifier_activation", "classifier_bias", "classifier_pooling", "prediction_head"),
    *("embedding_size", "position_offset"),
)
"""The keys that published configurations of BERT do not have."""


class EncoderConfig(BaseModel):
    """The sizes and the parts of an encoder.

    The defaults are BERT (Devlin et al., 2019, section 3 and appendix A.2). ModernBERT (Warner et
    al., 2024, section 2.1) has `norm_position=pre`, `position_embedding_type=rotary`,
    `gated_feed_forward=true`, `local_attention=128`, `global_attn_every_n_layers=3`,
    `type_vocab_size=0`, `prediction_head=true`, and no biases. RoBERTa (Liu et al., 2019) has a
    `position_offset`; DistilBERT (Sanh et al., 2019) has `type_vocab_size=0` and
    `classifier_activation=relu`; ELECTRA (Clark et al., 2020) has an `embedding_size` and
    `classifier_activation=gelu`.

    If `target` is not the default, keys that are not listed here are allowed. They are attributes
    of this object, for use by the custom class.

    Attributes:
        target: The encoder class. A custom class, in a module in the current folder, must have the
            attributes and the `forward` of `clozekit.models.EncoderProtocol`, and may use
            additional keys of this group. The verbs that read its checkpoints need its module in
            `trusted_modules`.
        vocab_size: The number of token ids; by default taken from the tokenizer.
        hidden_size: The size of each token's hidden vector; a multiple of `num_attention_heads`.
        embedding_size: The size of the embeddings (ELECTRA). If it is not `hidden_size`, a linear
            layer follows them, and masked words are predicted from vectors of this size; null for
            `hidden_size`.
        num_hidden_layers: The number of Transformer blocks.
        num_attention_heads: The number of attention heads per block.
        intermediate_size: The hidden size of the feed-forward layers.
        max_position_embeddings: The number of positions. The maximum sequence length is this
            number minus `position_offset`.
        position_offset: The position of a sequence's first token. In RoBERTa it is
            `pad_token_id + 1`, so an encoder that `export` should write as RoBERTa needs a
            tokenizer whose padding token has the id `position_offset - 1`.
        type_vocab_size: The number of segment ids; with 0 or 1, only [SEP] separates texts.
        norm_position: `post` normalizes after each residual (BERT), `pre` before each sub-layer
            (Xiong et al., 2020), with one more LayerNorm after the last block.
        position_embedding_type: `absolute` adds a learned vector to each token, `rotary` rotates
            queries and keys (Su et al., 2021).
        global_rope_theta: The base of the rotations in layers with global attention.
        local_rope_theta: The base of the rotations in layers with local attention.
        local_attention: The width of the window around each token in layers with local attention;
            null for global attention in all layers.
        global_attn_every_n_layers: With `local_attention`, layers 0, n, 2n, … have global
            attention.
        gated_feed_forward: Whether a second projection multiplies the activation (GeGLU; Shazeer,
            2020).
        attention_bias: Whether the linear layers of attention have biases.
        mlp_bias: Whether the linear layers of the feed-forward part have biases.
        norm_bias: Whether each LayerNorm has a bias.
        hidden_act: `gelu` (exact, with the error function) or `gelu_pytorch_tanh` (approximate).
        hidden_dropout_prob: The dropout of the embeddings and of each sub-layer's output.
        attention_probs_dropout_prob: The dropout of the attention probabilities.
        classifier_activation: The activation after the dense layer between a whole sequence and its
            heads: `tanh` (BERT, RoBERTa), `relu` (DistilBERT) or `gelu` (ELECTRA, ModernBERT).
        prediction_head: Whether there is such a dense layer below all heads, those on tokens too,
            with a LayerNorm after the activation (ModernBERT); otherwise heads on tokens are on the
            tokens.
        classifier_bias: Whether the dense layers of heads have biases.
        classifier_pooling: What represents a whole sequence: `cls`, its first token, or `mean`, the
            mean of its tokens; null for that of `pretrained`, or for `cls`.
        layer_norm_eps: The epsilon added to the variance in each LayerNorm.
        initializer_range: The standard deviation of the truncated normal for weight initialization.
        model_type: The family as which `export` writes the encoder, by its `model_type` in
            transformers, if several have the same parts: `roberta`, `xlm-roberta` or `camembert`;
            null for the first of them, or for that of `pretrained`.
        pretrained: The source of weights and sizes: a clozekit checkpoint or run folder, or a model
            folder in the transformers layout, local or on the Hugging Face Hub.
    """

    model_config = ConfigDict(extra="allow", frozen=True, populate_by_name=True)

    target: str = Field(OWN_ENCODER, alias="_target_", pattern=r"^\w+(\.\w+)+$")
    vocab_size: Count | None = None
    hidden_size: int = Field(768, gt=0, le=2**16)
    embedding_size: int | None = Field(None, gt=0, le=2**16)
    num_hidden_layers: int = Field(12, gt=0, le=1024)
    num_attention_heads: int = Field(12, gt=0, le=2**16)
    intermediate_size: int = Field(3072, gt=0, le=2**20)
    max_position_embeddings: int = Field(512, gt=0, le=2**24)
    position_offset: int = Field(0, ge=0, lt=2**24)
    type_vocab_size: int = Field(2, ge=0, le=2**16)
    norm_position: Literal["post", "pre"] = "post"
    position_embedding_type: Literal["absolute", "rotary"] = "absolute"
    global_rope_theta: float = Field(160_000.0, gt=1, le=1e12)
    local_rope_theta: float = Field(10_000.0, gt=1, le=1e12)
    local_attention: int | None = Field(None, ge=2, le=2**24)
    global_attn_every_n_layers: int = Field(1, gt=0, le=1024)
    gated_feed_forward: bool = False
    attention_bias: bool = True
    mlp_bias: bool = True
    norm_bias: bool = True
    classifier_activation: Literal["tanh", "relu", "gelu"] = "tanh"
    prediction_head: bool = False
    classifier_bias: bool = True
    classifier_pooling: Literal["cls", "mean"] | None = None
    hidden_act: Literal["gelu", "gelu_pytorch_tanh"] = "gelu"
    hidden_dropout_prob: float = Field(0.1, ge=0, lt=1)
    attention_probs_dropout_prob: float = Field(0.1, ge=0, lt=1)
    layer_norm_eps: float = Field(1e-12, gt=0, lt=1)
    initializer_range: float = Field(0.02, gt=0, le=10)
    model_type: str | None = None
    pretrained: PathText | None = None

    @property
    def is_own(self) -> bool:
        """Whether the encoder is clozekit's own class."""
        return self.target == OWN_ENCODER

    @property
    def pooling(self) -> Literal["cls", "mean"]:
        """What represents a whole sequence."""
        return self.classifier_pooling or "cls"

    @property
    def longest_sequence(self) -> int:
        """The maximum sequence length."""
        return self.max_position_embeddings - self.position_offset

    @property
    def limit_in_words(self) -> str:
        """The keys that limit the length of a sequence, for messages."""
        offset = f" minus position_offset={self.position_offset}" if self.position_offset else ""
        return f"max_position_embeddings={self.max_position_embeddings}{offset}"

    def has_local_attention(self, layer: int) -> bool:
        """Whether a layer, counted from 0, has local attention."""
        return self.local_attention is not None and layer % self.global_attn_every_n_layers > 0

    @property
    def is_bert(self) -> bool:
        """Whether the encoder is clozekit's own class with the parts of BERT."""
        return self.is_own and not self.other_parts()

    @classmethod
    def parts_of_bert(cls) -> dict[str, Any]:
        """Returns the values that the keys of `PARTS` have for BERT, which are their defaults."""
        return {key: cls.model_fields[key].get_default() for key in PARTS} | {
            "classifier_pooling": "cls"
        }

    def other_parts(self) -> dict[str, Any]:
        """Returns the keys and values in which the encoder has other parts than BERT."""
        of_bert = self.parts_of_bert()
        own = self.model_dump(include=set(PARTS)) | {"classifier_pooling": self.pooling}
        parts = {key: own[key] for key in PARTS if own[key] != of_bert[key]}
        return parts if self.type_vocab_size else {**parts, "type_vocab_size": 0}

    def published(self) -> dict[str, Any]:
        """Returns the keys that published configurations of BERT have, and those of other parts."""
        excluded = {"target", "pretrained", "model_type", *PARTS} - self.other_parts().keys()
        return self.model_dump(exclude=excluded)

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

    @field_validator("embedding_size")
    @classmethod
    def _without_the_default(cls, value: int | None, info: ValidationInfo) -> int | None:
        # So that an encoder without the linear layer has one configuration.
        return None if value == info.data.get("hidden_size") else value

    @model_validator(mode="after")
    def _check_positions(self) -> Self:
        if self.position_offset and self.position_embedding_type == "rotary":
            raise ValueError(
                f"position_offset={self.position_offset} has no effect with "
                "position_embedding_type=rotary, in which only distances count"
            )
        if self.longest_sequence < 1:
            raise ValueError(
                f"position_offset={self.position_offset} must be less than "
                f"max_position_embeddings={self.max_position_embeddings}"
            )
        return self

    @model_validator(mode="after")
    def _check_local_attention(self) -> Self:
        if self.local_attention is not None and self.global_attn_every_n_layers == 1:
            raise ValueError(
                f"local_attention={self.local_attention} has no effect with "
                "global_attn_every_n_layers=1, which makes every layer global"
            )
        if self.local_attention is None and self.global_attn_every_n_layers > 1:
            raise ValueError(
                f"global_attn_every_n_layers={self.global_attn_every_n_layers} needs "
                "local_attention, the width of the window of the other layers"
            )
        return self

    @model_validator(mode="after")
    def _check_head_size(self) -> Self:
        if self.is_own and self.hidden_size % self.num_attention_heads:
            raise ValueError(
                f"hidden_size={self.hidden_size} is not divisible by "
                f"num_attention_heads={self.num_attention_heads}"
            )
        head_dim = self.hidden_size // self.num_attention_heads
        if self.is_own and self.position_embedding_type == "rotary" and head_dim % 2:
            raise ValueError(
                f"position_embedding_type=rotary needs heads of even width, but hidden_size="
                f"{self.hidden_size} and num_attention_heads={self.num_attention_heads} make "
                f"heads of {head_dim}"
            )
        return self
