"""BERT (Devlin et al., 2019) in transformers."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clozekit.config.encoder import EncoderConfig
from clozekit.errors import DataError
from clozekit.interop.families.family import Family, Names
from clozekit.interop.families.reading import encoder_config, refuse_other_values

ACTIVATIONS = {
    "gelu": "gelu",
    "gelu_python": "gelu",
    # The same function in four implementations that differ only by rounding.
    "gelu_new": "gelu_pytorch_tanh",
    "gelu_fast": "gelu_pytorch_tanh",
    "gelu_accurate": "gelu_pytorch_tanh",
    "gelu_pytorch_tanh": "gelu_pytorch_tanh",
}
"""clozekit's name for each activation of transformers."""

_DEFAULT_VOCAB_SIZE = 30522
_TOKEN_EMBEDDINGS = "bert.embeddings.word_embeddings.weight"
_MASKED_LM_BIAS = "cls.predictions.bias"
_AROUND_BLOCKS = {
    "encoder.embeddings.layer_norm": "bert.embeddings.LayerNorm",
    "encoder.pooler": "bert.pooler.dense",
    "masked_lm_head.dense": "cls.predictions.transform.dense",
    "masked_lm_head.layer_norm": "cls.predictions.transform.LayerNorm",
    "next_sentence_head.seq_relationship": "cls.seq_relationship",
    # These three have the same name in transformers; a model has at most one of them.
    "classification_head.classifier": "classifier",
    "token_classification_head.classifier": "classifier",
    "multiple_choice_head.classifier": "classifier",
    "question_answering_head.outputs": "qa_outputs",
}
_IN_BLOCK = {
    "attention.output": ("attention.output.dense",),
    "attention_norm": ("attention.output.LayerNorm",),
    "feed_forward.intermediate": ("intermediate.dense",),
    "feed_forward.output": ("output.dense",),
    "feed_forward_norm": ("output.LayerNorm",),
    "attention.qkv": ("attention.self.query", "attention.self.key", "attention.self.value"),
}


def names(encoder: EncoderConfig, heads: frozenset[str]) -> Names:
    """Returns the names in transformers of each tensor; see `Family`."""
    embeddings = "embeddings"
    named: Names = {
        f"encoder.{embeddings}.token_embeddings.weight": (_TOKEN_EMBEDDINGS,),
        **{
            f"encoder.{embeddings}.{kind}_embeddings.weight": (
                f"bert.{embeddings}.{kind}_embeddings.weight",
            )
            for kind in ("position", "token_type")
        },
        "masked_lm_head.bias": (_MASKED_LM_BIAS,),
    }
    for kind in ("weight", "bias"):
        for ours, theirs in _AROUND_BLOCKS.items():
            named[f"{ours}.{kind}"] = (f"{theirs}.{kind}",)
        for layer in range(encoder.num_hidden_layers):
            for ours, parts in _IN_BLOCK.items():
                named[f"encoder.blocks.{layer}.{ours}.{kind}"] = tuple(
                    f"bert.encoder.layer.{layer}.{part}.{kind}" for part in parts
                )
    return named


def read_config(config: Mapping[str, Any], file: Path) -> EncoderConfig:
    """Reads the encoder's configuration. Missing keys have the defaults of transformers.

    Raises:
        DataError: A value is not supported.
    """
    refuse_other_values(
        config,
        file,
        position_embedding_type="absolute",
        is_decoder=False,
        add_cross_attention=False,
        tie_word_embeddings=True,
    )
    activation = config.get("hidden_act", "gelu")
    if not isinstance(activation, str) or activation not in ACTIVATIONS:
        raise DataError(
            f"{file}: hidden_act={activation}; only {', '.join(ACTIVATIONS)} are supported"
        )
    known = EncoderConfig().published().keys()
    values = {"vocab_size": _DEFAULT_VOCAB_SIZE} | {k: config[k] for k in known & config.keys()}
    return encoder_config(values | {"hidden_act": ACTIVATIONS[activation]}, file)


BERT = Family(
    model_type="bert",
    name="Bert",
    prefix="bert.",
    # An encoder without heads is saved without the prefix.
    parts=("embeddings.", "encoder.", "pooler."),
    block=re.compile(r"bert\.encoder\.layer\.(\d+)\."),
    heads_of_class={
        "ForPreTraining": frozenset({"masked_lm_head", "next_sentence_head"}),
        "ForMaskedLM": frozenset({"masked_lm_head"}),
        "ForNextSentencePrediction": frozenset({"next_sentence_head"}),
        "ForSequenceClassification": frozenset({"classification_head"}),
        "ForTokenClassification": frozenset({"token_classification_head"}),
        "ForQuestionAnswering": frozenset({"question_answering_head"}),
        "ForMultipleChoice": frozenset({"multiple_choice_head"}),
    },
    has_pooler=True,
    pretraining_heads=frozenset({"masked_lm_head", "next_sentence_head"}),
    names=names,
    read_config=read_config,
    write_config=EncoderConfig.published,
    has_parts_of=lambda encoder: encoder.is_bert,
    tied=(
        ("cls.predictions.decoder.weight", _TOKEN_EMBEDDINGS),
        ("cls.predictions.decoder.bias", _MASKED_LM_BIAS),
    ),
    buffers=frozenset({"bert.embeddings.position_ids", "bert.embeddings.token_type_ids"}),
    # The names of the TensorFlow code.
    renamed=(("LayerNorm.gamma", "LayerNorm.weight"), ("LayerNorm.beta", "LayerNorm.bias")),
)
