"""BERT (Devlin et al., 2019) in transformers."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clozekit.config.encoder import EncoderConfig
from clozekit.interop.families.family import COMMON_HEADS, Family, Names
from clozekit.interop.families.naming import (
    HEADS_OF_TASKS,
    LIKE_BERT,
    embeddings_like_bert,
    table,
)
from clozekit.interop.families.reading import (
    ABSOLUTE_ENCODER,
    activation,
    encoder_config,
    refuse_other_values,
    same_keys,
)

_DEFAULT_VOCAB_SIZE = 30522
_MASKED_LM_BIAS = "cls.predictions.bias"
_EMBEDDINGS = embeddings_like_bert("bert")
_AROUND_BLOCKS = {
    "encoder.embeddings.layer_norm": "bert.embeddings.LayerNorm",
    "encoder.pooler": "bert.pooler.dense",
    "masked_lm_head.dense": "cls.predictions.transform.dense",
    "masked_lm_head.layer_norm": "cls.predictions.transform.LayerNorm",
    "next_sentence_head.seq_relationship": "cls.seq_relationship",
    "classification_head.classifier": "classifier",
    **HEADS_OF_TASKS,
}


def names(encoder: EncoderConfig, heads: frozenset[str]) -> Names:
    """Returns the names in transformers of each tensor; see `Family`."""
    named = table(encoder, _EMBEDDINGS, _AROUND_BLOCKS, LIKE_BERT, "bert.encoder.layer")
    return named | {"masked_lm_head.bias": (_MASKED_LM_BIAS,)}


def read_config(config: Mapping[str, Any], file: Path) -> EncoderConfig:
    """Reads the encoder's configuration. Missing keys have the defaults of transformers.

    Raises:
        DataError: A value is not supported.
    """
    refuse_other_values(config, file, **ABSOLUTE_ENCODER)
    hidden_act = activation(config, "hidden_act", file)
    values = {"vocab_size": _DEFAULT_VOCAB_SIZE} | same_keys(config)
    return encoder_config(values | {"hidden_act": hidden_act}, file)


BERT = Family(
    model_type="bert",
    name="Bert",
    prefix="bert.",
    # An encoder without heads is saved without the prefix.
    parts=("embeddings.", "encoder.", "pooler."),
    block=re.compile(r"bert\.encoder\.layer\.(\d+)\."),
    heads_of_class={
        "ForPreTraining": frozenset({"masked_lm_head", "next_sentence_head"}),
        "ForNextSentencePrediction": frozenset({"next_sentence_head"}),
        **COMMON_HEADS,
    },
    has_pooler=True,
    pretraining_heads=frozenset({"masked_lm_head", "next_sentence_head"}),
    names=names,
    read_config=read_config,
    write_config=EncoderConfig.published,
    has_parts_of=lambda encoder: encoder.is_bert,
    tied=(
        ("cls.predictions.decoder.weight", "bert.embeddings.word_embeddings.weight"),
        ("cls.predictions.decoder.bias", _MASKED_LM_BIAS),
    ),
    buffers=frozenset({"bert.embeddings.position_ids", "bert.embeddings.token_type_ids"}),
    # The names of the TensorFlow code.
    renamed=(("LayerNorm.gamma", "LayerNorm.weight"), ("LayerNorm.beta", "LayerNorm.bias")),
)
