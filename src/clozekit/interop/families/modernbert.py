"""ModernBERT (Warner et al., 2024) and Ettin (Weller et al., 2025) in transformers."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clozekit.config.encoder import EncoderConfig
from clozekit.errors import DataError
from clozekit.interop.families.family import COMMON_HEADS, Family, Names
from clozekit.interop.families.reading import encoder_config, refuse_other_values
from clozekit.output.display import printable

_SAME_KEYS = (
    *("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers"),
    *("num_attention_heads", "max_position_embeddings", "initializer_range", "norm_bias"),
    *("attention_bias", "mlp_bias", "classifier_bias", "classifier_pooling"),
)
_OTHER_KEYS = {
    "layer_norm_eps": "norm_eps",
    "hidden_dropout_prob": "embedding_dropout",
    "attention_probs_dropout_prob": "attention_dropout",
}
_DEFAULTS = {
    "vocab_size": 50368,
    "hidden_size": 768,
    "intermediate_size": 1152,
    "num_hidden_layers": 22,
    "num_attention_heads": 12,
    "max_position_embeddings": 8192,
    "norm_eps": 1e-5,
    "embedding_dropout": 0.0,
    "attention_dropout": 0.0,
    "norm_bias": False,
    "attention_bias": False,
    "mlp_bias": False,
    "classifier_bias": False,
}
_PARTS: dict[str, Any] = {
    "type_vocab_size": 0,
    "norm_position": "pre",
    "position_embedding_type": "rotary",
    "gated_feed_forward": True,
    "classifier_activation": "gelu",
    "prediction_head": True,
    "embedding_size": None,
    "hidden_act": "gelu",
}
_ROPE_THETA = {"full_attention": 160_000.0, "sliding_attention": 10_000.0}
_GLOBAL_KEY, _LOCAL_KEY = "global_rope_theta", "local_rope_theta"
_IN_BLOCK = {
    "attention.qkv": "attn.Wqkv",
    "attention.output": "attn.Wo",
    "attention_norm": "attn_norm",
    "feed_forward.intermediate": "mlp.Wi",
    "feed_forward.output": "mlp.Wo",
    "feed_forward_norm": "mlp_norm",
}
_LAYER_BELOW = {
    "masked_lm_head": ("masked_lm_head.dense", "masked_lm_head.layer_norm"),
    "classification_head": ("encoder.pooler.dense", "encoder.pooler.norm"),
    "multiple_choice_head": ("encoder.pooler.dense", "encoder.pooler.norm"),
    "token_classification_head": (
        "token_classification_head.layer.dense",
        "token_classification_head.layer.norm",
    ),
    "question_answering_head": (
        "question_answering_head.layer.dense",
        "question_answering_head.layer.norm",
    ),
}
"""clozekit's names of the layer below each head, which is `head` in transformers."""


def names(encoder: EncoderConfig, heads: frozenset[str]) -> Names:
    """Returns the names in transformers of each tensor; see `Family`."""
    pairs = {
        "encoder.embeddings.token_embeddings": "model.embeddings.tok_embeddings",
        "encoder.embeddings.layer_norm": "model.embeddings.norm",
        "encoder.final_norm": "model.final_norm",
        "classification_head.classifier": "classifier",
        "token_classification_head.classifier": "classifier",
        "multiple_choice_head.classifier": "classifier",
        "question_answering_head.outputs": "classifier",
    }
    for head in heads & _LAYER_BELOW.keys():
        dense, norm = _LAYER_BELOW[head]
        pairs |= {dense: "head.dense", norm: "head.norm"}
    for layer in range(encoder.num_hidden_layers):
        for ours, theirs in _IN_BLOCK.items():
            pairs[f"encoder.blocks.{layer}.{ours}"] = f"model.layers.{layer}.{theirs}"
    named: Names = {"masked_lm_head.bias": ("decoder.bias",)}
    for kind in ("weight", "bias"):
        named |= {f"{ours}.{kind}": (f"{theirs}.{kind}",) for ours, theirs in pairs.items()}
    return named


def read_config(config: Mapping[str, Any], file: Path) -> EncoderConfig:
    """Reads the encoder's configuration. Missing keys have the defaults of transformers.

    Raises:
        DataError: A value is not supported.
    """
    refuse_other_values(
        config,
        file,
        hidden_activation="gelu",
        classifier_activation="gelu",
        decoder_bias=True,
    )
    if scaling := config.get("rope_scaling"):
        raise DataError(f"{file}: rope_scaling={printable(str(scaling))}; only null is supported")
    theirs = {**_DEFAULTS, **config}
    values = {key: theirs[key] for key in _SAME_KEYS if key in theirs}
    values |= {ours: theirs[key] for ours, key in _OTHER_KEYS.items()}
    every = _global_every(config, file)
    values["global_attn_every_n_layers"] = every
    values["local_attention"] = _local_attention(config, file) if every > 1 else None
    values[_GLOBAL_KEY] = _theta(config, "full_attention", _GLOBAL_KEY, file)
    values[_LOCAL_KEY] = _theta(config, "sliding_attention", _LOCAL_KEY, file)
    return encoder_config(values | _PARTS, file, _OTHER_KEYS)


def write_config(encoder: EncoderConfig) -> dict[str, Any]:
    """Returns the keys of `config.json`."""
    config = {key: getattr(encoder, key) for key in _SAME_KEYS}
    config["classifier_pooling"] = encoder.pooling
    config |= {theirs: getattr(encoder, ours) for ours, theirs in _OTHER_KEYS.items()}
    every = encoder.global_attn_every_n_layers
    layer_types = [
        "sliding_attention" if encoder.has_local_attention(layer) else "full_attention"
        for layer in range(encoder.num_hidden_layers)
    ]
    thetas = {"full_attention": encoder.global_rope_theta}
    thetas |= {"sliding_attention": encoder.local_rope_theta}
    return config | {
        "hidden_activation": "gelu",
        "classifier_activation": "gelu",
        "decoder_bias": True,
        "tie_word_embeddings": True,
        # The default of transformers may be no id of this vocabulary.
        **dict.fromkeys(("pad_token_id", "cls_token_id", "sep_token_id"), None),
        **dict.fromkeys(("bos_token_id", "eos_token_id"), None),
        "local_attention": encoder.local_attention or 128,
        "global_attn_every_n_layers": every,
        "layer_types": layer_types,
        # Read by versions of transformers before 5, and by those since.
        _GLOBAL_KEY: encoder.global_rope_theta,
        _LOCAL_KEY: encoder.local_rope_theta,
        "rope_parameters": {
            kind: {"rope_type": "default", "rope_theta": theta} for kind, theta in thetas.items()
        },
    }


def has_parts_of(encoder: EncoderConfig) -> bool:
    """Whether an encoder has the parts of ModernBERT."""
    return encoder.is_own and all(getattr(encoder, key) == v for key, v in _PARTS.items())


def _global_every(config: Mapping[str, Any], file: Path) -> int:
    """Returns n, where layers 0, n, 2n, … have global attention."""
    types = config.get("layer_types")
    if types is None:
        every = config.get("global_attn_every_n_layers", 3)
        if not isinstance(every, int) or every < 1:
            raise DataError(f"{file}: global_attn_every_n_layers={every}; it should be 1 or more")
        return every
    is_global = [kind == "full_attention" for kind in types] if isinstance(types, list) else []
    every = next((i for i, each in enumerate(is_global) if each and i), len(is_global))
    if is_global != [layer % every == 0 for layer in range(len(is_global))] or not is_global:
        raise DataError(f"{file}: layer_types={types}; only every n-th full_attention is supported")
    return every


def _local_attention(config: Mapping[str, Any], file: Path) -> Any:
    """Returns the window of local attention; transformers takes half of it by another key."""
    if "sliding_window" not in config:
        return config.get("local_attention", 128)
    half = config["sliding_window"]
    if isinstance(half, bool) or not isinstance(half, int) or half < 1:
        raise DataError(f"{file}: sliding_window={printable(str(half))}; it should be 1 or more")
    return 2 * half


def _theta(config: Mapping[str, Any], kind: str, old_key: str, file: Path) -> float:
    """Returns the base of the rotations, by the key of the newer or the older versions."""
    parameters = config.get("rope_parameters") or {}
    of_kind = parameters.get(kind) if isinstance(parameters, dict) else None
    of_kind = of_kind if isinstance(of_kind, dict) else {}
    # The second is the key of older versions.
    rope_type = of_kind.get("rope_type", of_kind.get("type", "default"))
    if rope_type != "default":
        raise DataError(f"{file}: rope_type={printable(str(rope_type))}; only default is supported")
    theta = of_kind.get("rope_theta")
    if theta is None:
        theta = config.get(old_key)
    # Null means that local layers have the base of global ones.
    if theta is None and old_key in config:
        theta = config.get(_GLOBAL_KEY)
    theta = _ROPE_THETA[kind] if theta is None else theta
    if isinstance(theta, bool) or not isinstance(theta, int | float):
        raise DataError(f"{file}: {old_key}={theta}; it should be a number")
    return float(theta)


MODERNBERT = Family(
    model_type="modernbert",
    name="ModernBert",
    prefix="model.",
    parts=("embeddings.", "layers.", "final_norm."),
    block=re.compile(r"model\.layers\.(\d+)\."),
    heads_of_class=COMMON_HEADS,
    has_pooler=False,
    pretraining_heads=frozenset({"masked_lm_head"}),
    names=names,
    read_config=read_config,
    write_config=write_config,
    has_parts_of=has_parts_of,
    tied=(("decoder.weight", "model.embeddings.tok_embeddings.weight"),),
)
