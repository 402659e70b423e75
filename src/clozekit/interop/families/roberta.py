"""RoBERTa (Liu et al., 2019), XLM-R (Conneau et al., 2020) and CamemBERT (Martin et al., 2020).

All three have the same code and the same names of tensors in transformers. Positions start after
`pad_token_id`, and `max_position_embeddings` includes those that are not used.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clozekit.config.encoder import EncoderConfig
from clozekit.errors import DataError
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

_DEFAULT_PAD = 1
_DEFAULT_VOCAB_SIZES = {"roberta": 50265}
_MASKED_LM_BIAS = "lm_head.bias"
_EMBEDDINGS = embeddings_like_bert("roberta")
_AROUND_BLOCKS = {
    "encoder.embeddings.layer_norm": "roberta.embeddings.LayerNorm",
    "encoder.pooler": "roberta.pooler.dense",
    "masked_lm_head.dense": "lm_head.dense",
    "masked_lm_head.layer_norm": "lm_head.layer_norm",
    **HEADS_OF_TASKS,
}
# The dense layer of this class belongs to its head.
_CLASSIFIER = {
    "encoder.pooler": "classifier.dense",
    "classification_head.classifier": "classifier.out_proj",
}


def names(encoder: EncoderConfig, heads: frozenset[str]) -> Names:
    """Returns the names in transformers of each tensor; see `Family`."""
    of_heads = _CLASSIFIER if "classification_head" in heads else {}
    around = _AROUND_BLOCKS | of_heads
    named = table(encoder, _EMBEDDINGS, around, LIKE_BERT, "roberta.encoder.layer")
    return named | {"masked_lm_head.bias": (_MASKED_LM_BIAS,)}


def read_config(config: Mapping[str, Any], file: Path) -> EncoderConfig:
    """Reads the encoder's configuration. Missing keys have the defaults of transformers.

    Raises:
        DataError: A value is not supported.
    """
    refuse_other_values(config, file, **ABSOLUTE_ENCODER)
    pad = config.get("pad_token_id", _DEFAULT_PAD)
    if isinstance(pad, bool) or not isinstance(pad, int) or pad < 0:
        raise DataError(
            f"{file}: pad_token_id={pad}; it should be an id, after which the positions start"
        )
    vocab_size = _DEFAULT_VOCAB_SIZES.get(str(config.get("model_type")), 30522)
    # The head for masked words has the exact GELU, whatever the activation of the blocks.
    hidden_act = activation(config, "hidden_act", file, EXACT_GELU)
    values = {"vocab_size": vocab_size, "position_offset": pad + 1} | same_keys(config)
    return encoder_config(values | {"hidden_act": hidden_act}, file)


def write_config(encoder: EncoderConfig) -> dict[str, Any]:
    """Returns the keys of `config.json`."""
    return {
        **written_same_keys(encoder),
        "pad_token_id": encoder.position_offset - 1,
        # The defaults of transformers may be no ids of this vocabulary.
        "bos_token_id": None,
        "eos_token_id": None,
        "tie_word_embeddings": True,
    }


def has_parts_of(encoder: EncoderConfig) -> bool:
    """Whether an encoder has the parts of RoBERTa."""
    is_exact = encoder.hidden_act == "gelu"
    return encoder.is_own and is_exact and encoder.other_parts().keys() == {"position_offset"}


def _family(model_type: str, name: str) -> Family:
    return Family(
        model_type=model_type,
        name=name,
        prefix="roberta.",
        parts=("embeddings.", "encoder.", "pooler."),
        block=re.compile(r"roberta\.encoder\.layer\.(\d+)\."),
        heads_of_class=COMMON_HEADS,
        has_pooler=True,
        pretraining_heads=frozenset({"masked_lm_head"}),
        names=names,
        read_config=read_config,
        write_config=write_config,
        has_parts_of=has_parts_of,
        tied=(
            ("lm_head.decoder.weight", "roberta.embeddings.word_embeddings.weight"),
            ("lm_head.decoder.bias", _MASKED_LM_BIAS),
        ),
        buffers=frozenset({"roberta.embeddings.position_ids", "roberta.embeddings.token_type_ids"}),
    )


ROBERTA = _family("roberta", "Roberta")
XLM_ROBERTA = _family("xlm-roberta", "XLMRoberta")
CAMEMBERT = _family("camembert", "Camembert")
