"""Names of tensors in transformers' BERT and in clozekit."""

from collections.abc import Mapping

import torch
from torch import Tensor

BUFFERS = frozenset({"bert.embeddings.position_ids", "bert.embeddings.token_type_ids"})
"""Constants that older versions of transformers saved with the weights."""

DECODER_WEIGHT = "cls.predictions.decoder.weight"
DECODER_BIAS = "cls.predictions.decoder.bias"
MASKED_LM_BIAS = "cls.predictions.bias"
TOKEN_EMBEDDINGS = "bert.embeddings.word_embeddings.weight"

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


def correspondence(num_hidden_layers: int) -> dict[str, tuple[str, ...]]:
    """Returns the names in transformers for each tensor of clozekit.

    Args:
        num_hidden_layers: Number of blocks.

    Returns:
        For each clozekit name, the transformers name, or the three names whose rows are
        concatenated in clozekit. Heads that no transformers class has are not included.
    """
    names: dict[str, tuple[str, ...]] = {
        "encoder.embeddings.token_embeddings.weight": (TOKEN_EMBEDDINGS,),
        "encoder.embeddings.position_embeddings.weight": (
            "bert.embeddings.position_embeddings.weight",
        ),
        "encoder.embeddings.token_type_embeddings.weight": (
            "bert.embeddings.token_type_embeddings.weight",
        ),
        "masked_lm_head.bias": (MASKED_LM_BIAS,),
    }
    for kind in ("weight", "bias"):
        for ours, theirs in _AROUND_BLOCKS.items():
            names[f"{ours}.{kind}"] = (f"{theirs}.{kind}",)
        for layer in range(num_hidden_layers):
            for ours, parts in _IN_BLOCK.items():
                names[f"encoder.blocks.{layer}.{ours}.{kind}"] = tuple(
                    f"bert.encoder.layer.{layer}.{part}.{kind}" for part in parts
                )
    return names


def canonical_name(name: str) -> str:
    """Returns the current name of a tensor in `BertFor…` for an older or unprefixed name.

    An encoder without heads is saved without the prefix `bert.`. Old files use the names of the
    TensorFlow code, where the parameters of LayerNorm are gamma and beta.
    """
    for old, new in (("LayerNorm.gamma", "LayerNorm.weight"), ("LayerNorm.beta", "LayerNorm.bias")):
        if name.endswith(old):
            name = name.removesuffix(old) + new
    return f"bert.{name}" if name.startswith(("embeddings.", "encoder.", "pooler.")) else name


def to_transformers(weights: Mapping[str, Tensor], num_hidden_layers: int) -> dict[str, Tensor]:
    """Renames weights to the names of transformers, as contiguous copies.

    Args:
        weights: Weights of a model of `clozekit.models`.
        num_hidden_layers: Number of blocks.
    """
    theirs: dict[str, Tensor] = {}
    for name, parts in correspondence(num_hidden_layers).items():
        if name in weights:
            for part, tensor in zip(parts, weights[name].chunk(len(parts)), strict=True):
                theirs[part] = tensor.detach().clone(memory_format=torch.contiguous_format)
    return theirs
