"""DistilBERT (Sanh et al., 2019) in transformers: BERT without segments and without a pooler."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clozekit.config.encoder import EncoderConfig
from clozekit.interop.families.family import COMMON_HEADS, Family, Names
from clozekit.interop.families.naming import HEADS_OF_TASKS, table
from clozekit.interop.families.reading import activation, encoder_config, refuse_other_values

_KEYS = {
    "vocab_size": "vocab_size",
    "max_position_embeddings": "max_position_embeddings",
    "initializer_range": "initializer_range",
    "hidden_size": "dim",
    "num_hidden_layers": "n_layers",
    "num_attention_heads": "n_heads",
    "intermediate_size": "hidden_dim",
    "hidden_dropout_prob": "dropout",
    "attention_probs_dropout_prob": "attention_dropout",
}
"""transformers' name of each key."""
_DEFAULTS = {
    "vocab_size": 30522,
    "max_position_embeddings": 512,
    "initializer_range": 0.02,
    "dim": 768,
    "n_layers": 6,
    "n_heads": 12,
    "hidden_dim": 3072,
    "dropout": 0.1,
    "attention_dropout": 0.1,
}
_PARTS: dict[str, Any] = {"type_vocab_size": 0, "classifier_activation": "relu"}
# It has no key in transformers.
_LAYER_NORM_EPS = 1e-12
_EMBEDDINGS = {
    "token_embeddings": "distilbert.embeddings.word_embeddings",
    "position_embeddings": "distilbert.embeddings.position_embeddings",
}
_AROUND_BLOCKS = {
    "encoder.embeddings.layer_norm": "distilbert.embeddings.LayerNorm",
    "masked_lm_head.dense": "vocab_transform",
    "masked_lm_head.layer_norm": "vocab_layer_norm",
    "classification_head.classifier": "classifier",
    **HEADS_OF_TASKS,
}
_IN_BLOCK = {
    "attention.qkv": ("attention.q_lin", "attention.k_lin", "attention.v_lin"),
    "attention.output": ("attention.out_lin",),
    "attention_norm": ("sa_layer_norm",),
    "feed_forward.intermediate": ("ffn.lin1",),
    "feed_forward.output": ("ffn.lin2",),
    "feed_forward_norm": ("output_layer_norm",),
}


def names(encoder: EncoderConfig, heads: frozenset[str]) -> Names:
    """Returns the names in transformers of each tensor; see `Family`."""
    has_dense_layer = heads & {"classification_head", "multiple_choice_head"}
    around = _AROUND_BLOCKS | ({"encoder.pooler": "pre_classifier"} if has_dense_layer else {})
    named = table(encoder, _EMBEDDINGS, around, _IN_BLOCK, "distilbert.transformer.layer")
    return named | {"masked_lm_head.bias": ("vocab_projector.bias",)}


def read_config(config: Mapping[str, Any], file: Path) -> EncoderConfig:
    """Reads the encoder's configuration. Missing keys have the defaults of transformers.

    Raises:
        DataError: A value is not supported.
    """
    # With sinusoidal positions transformers does not train the position embeddings.
    refuse_other_values(config, file, sinusoidal_pos_embds=False)
    theirs = {**_DEFAULTS, **config}
    values = {ours: theirs[key] for ours, key in _KEYS.items()}
    hidden_act = activation(config, "activation", file)
    return encoder_config(
        {**values, **_PARTS, "hidden_act": hidden_act, "layer_norm_eps": _LAYER_NORM_EPS},
        file,
        _KEYS,
    )


def write_config(encoder: EncoderConfig) -> dict[str, Any]:
    """Returns the keys of `config.json`."""
    return {
        **{theirs: getattr(encoder, ours) for ours, theirs in _KEYS.items()},
        "activation": encoder.hidden_act,
        "sinusoidal_pos_embds": False,
        "tie_word_embeddings": True,
        # The default of transformers may be no id of this vocabulary.
        "pad_token_id": None,
    }


def has_parts_of(encoder: EncoderConfig) -> bool:
    """Whether an encoder has the parts of DistilBERT."""
    is_same = encoder.other_parts() == _PARTS and encoder.layer_norm_eps == _LAYER_NORM_EPS
    return encoder.is_own and is_same


DISTILBERT = Family(
    model_type="distilbert",
    name="DistilBert",
    prefix="distilbert.",
    parts=("embeddings.", "transformer."),
    block=re.compile(r"distilbert\.transformer\.layer\.(\d+)\."),
    heads_of_class=COMMON_HEADS,
    has_pooler=False,
    pretraining_heads=frozenset({"masked_lm_head"}),
    names=names,
    read_config=read_config,
    write_config=write_config,
    has_parts_of=has_parts_of,
    tied=(("vocab_projector.weight", "distilbert.embeddings.word_embeddings.weight"),),
    buffers=frozenset({"distilbert.embeddings.position_ids"}),
    dropout_keys=("seq_classif_dropout", "qa_dropout"),
)
