"""ELECTRA (Clark et al., 2020) in transformers: its discriminators and its generators.

The head of `ElectraForPreTraining`, which finds replaced tokens, is not read.
"""

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
    EXACT_GELU,
    activation,
    encoder_config,
    refuse_other_values,
    same_keys,
    written_same_keys,
)

_DEFAULTS = {
    "vocab_size": 30522,
    "embedding_size": 128,
    "hidden_size": 256,
    "num_attention_heads": 4,
    "intermediate_size": 1024,
}
_PARTS = {"classifier_activation": "gelu"}
_SUMMARY = {"summary_type": "first", "summary_use_proj": True, "summary_activation": "gelu"}
_EMBEDDINGS = embeddings_like_bert("electra")
_AROUND_BLOCKS = {
    "encoder.embeddings.layer_norm": "electra.embeddings.LayerNorm",
    "encoder.embeddings.projection": "electra.embeddings_project",
    "masked_lm_head.dense": "generator_predictions.dense",
    "masked_lm_head.layer_norm": "generator_predictions.LayerNorm",
    "classification_head.classifier": "classifier.out_proj",
    **HEADS_OF_TASKS,
}
_DENSE_LAYERS = {
    "classification_head": "classifier.dense",
    "multiple_choice_head": "sequence_summary.summary",
}


def names(encoder: EncoderConfig, heads: frozenset[str]) -> Names:
    """Returns the names in transformers of each tensor; see `Family`."""
    around = dict(_AROUND_BLOCKS)
    for head in heads & _DENSE_LAYERS.keys():
        around["encoder.pooler"] = _DENSE_LAYERS[head]
    named = table(encoder, _EMBEDDINGS, around, LIKE_BERT, "electra.encoder.layer")
    return named | {"masked_lm_head.bias": ("generator_lm_head.bias",)}


def read_config(config: Mapping[str, Any], file: Path) -> EncoderConfig:
    """Reads the encoder's configuration. Missing keys have the defaults of transformers.

    Raises:
        DataError: A value is not supported.
    """
    refuse_other_values(
        config,
        file,
        **ABSOLUTE_ENCODER,
        **_SUMMARY,
    )
    # The heads have the exact GELU, whatever the activation of the blocks.
    hidden_act = activation(config, "hidden_act", file, EXACT_GELU)
    values = _DEFAULTS | same_keys(config) | _PARTS
    values["embedding_size"] = config.get("embedding_size", _DEFAULTS["embedding_size"])
    return encoder_config(values | {"hidden_act": hidden_act}, file)


def write_config(encoder: EncoderConfig) -> dict[str, Any]:
    """Returns the keys of `config.json`."""
    return {
        **written_same_keys(encoder),
        "embedding_size": encoder.embedding_size or encoder.hidden_size,
        **_SUMMARY,
        "tie_word_embeddings": True,
        # The default of transformers may be no id of this vocabulary.
        "pad_token_id": None,
    }


def has_parts_of(encoder: EncoderConfig) -> bool:
    """Whether an encoder has the parts of ELECTRA."""
    parts = {key: v for key, v in encoder.other_parts().items() if key != "embedding_size"}
    return encoder.is_own and parts == _PARTS and encoder.hidden_act == "gelu"


ELECTRA = Family(
    model_type="electra",
    name="Electra",
    prefix="electra.",
    parts=("embeddings.", "embeddings_project.", "encoder."),
    block=re.compile(r"electra\.encoder\.layer\.(\d+)\."),
    heads_of_class=COMMON_HEADS,
    has_pooler=False,
    pretraining_heads=frozenset({"masked_lm_head"}),
    names=names,
    read_config=read_config,
    write_config=write_config,
    has_parts_of=has_parts_of,
    tied=(("generator_lm_head.weight", "electra.embeddings.word_embeddings.weight"),),
    buffers=frozenset({"electra.embeddings.position_ids", "electra.embeddings.token_type_ids"}),
    dropout_keys=("classifier_dropout", "summary_last_dropout"),
)
