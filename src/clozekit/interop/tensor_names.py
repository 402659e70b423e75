"""The names that transformers' BERT gives its tensors, and ours."""

from collections.abc import Mapping

import torch
from torch import Tensor

TASK_HEADS = ("classifier.", "qa_outputs.")
"""How the names of heads of `BertFor…` begin that only their own task has a use for."""

UNUSED_IN_TASKS = ("bert.pooler.", "cls.")
"""How the names of parts begin that old folders kept beside a task's head, unused there."""

BUFFERS = frozenset({"bert.embeddings.position_ids", "bert.embeddings.token_type_ids"})
"""Constants that older versions saved among the weights."""

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
    # These three are of one name there; a model has at most one of them.
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
    """Gives the names in transformers of each of our tensors.

    Args:
        num_hidden_layers: The number of blocks.

    Returns:
        For every name of ours the one of transformers, or the three whose rows, one after the
        other, are ours. Heads that no class of transformers has are not there.
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
    """Gives the name that transformers' heads use today for a name of any age and prefix.

    The encoder alone is saved without the prefix `bert.`, and the TensorFlow code, of which old
    files keep the names, calls LayerNorm's parameters gamma and beta.
    """
    for old, new in (("LayerNorm.gamma", "LayerNorm.weight"), ("LayerNorm.beta", "LayerNorm.bias")):
        if name.endswith(old):
            name = name.removesuffix(old) + new
    return f"bert.{name}" if name.startswith(("embeddings.", "encoder.", "pooler.")) else name


def to_transformers(weights: Mapping[str, Tensor], num_hidden_layers: int) -> dict[str, Tensor]:
    """Renames our weights to those of transformers, contiguous and apart in memory.

    Args:
        weights: Weights of a model of `clozekit.models`.
        num_hidden_layers: The number of blocks.
    """
    theirs: dict[str, Tensor] = {}
    for name, parts in correspondence(num_hidden_layers).items():
        if name in weights:
            for part, tensor in zip(parts, weights[name].chunk(len(parts)), strict=True):
                theirs[part] = tensor.detach().clone(memory_format=torch.contiguous_format)
    return theirs
