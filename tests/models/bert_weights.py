"""transformers' BERT and ours, with the same weights."""

from collections.abc import Mapping

import torch
from torch import Tensor
from transformers import BertConfig, BertForPreTraining

from clozekit.config.encoder import EncoderConfig

_BLOCK = {
    "attention.output.dense": "attention.output",
    "attention.output.LayerNorm": "attention_norm",
    "intermediate.dense": "feed_forward.intermediate",
    "output.dense": "feed_forward.output",
    "output.LayerNorm": "feed_forward_norm",
}
_AROUND_BLOCKS = {
    "bert.embeddings.LayerNorm": "encoder.embeddings.layer_norm",
    "bert.pooler.dense": "encoder.pooler",
    "cls.predictions.transform.dense": "masked_lm_head.dense",
    "cls.predictions.transform.LayerNorm": "masked_lm_head.layer_norm",
    "cls.seq_relationship": "next_sentence_head.seq_relationship",
}


def pretraining_bert(config: EncoderConfig, seed: int = 0) -> BertForPreTraining:
    """transformers' model of the same sizes, every parameter random: zeros would hide mistakes."""
    sizes = config.published()
    bert = BertForPreTraining(BertConfig(**sizes, attn_implementation="eager"))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in bert.named_parameters():
            parameter.normal_(0, 0.1, generator=generator)
            if name.endswith("LayerNorm.weight"):
                parameter.add_(1)
    return bert


def from_transformers(bert: Mapping[str, Tensor], num_hidden_layers: int) -> dict[str, Tensor]:
    """Renames the parameters, or gradients, of a `BertForPreTraining` to ours."""
    ours = {
        f"encoder.embeddings.{new}.weight": bert[f"bert.embeddings.{old}.weight"]
        for old, new in (
            ("word_embeddings", "token_embeddings"),
            ("position_embeddings", "position_embeddings"),
            ("token_type_embeddings", "token_type_embeddings"),
        )
    }
    ours["masked_lm_head.bias"] = bert["cls.predictions.bias"]
    for kind in ("weight", "bias"):
        for old, new in _AROUND_BLOCKS.items():
            ours[f"{new}.{kind}"] = bert[f"{old}.{kind}"]
        for layer in range(num_hidden_layers):
            theirs, block = f"bert.encoder.layer.{layer}", f"encoder.blocks.{layer}"
            ours[f"{block}.attention.qkv.{kind}"] = torch.cat(
                [bert[f"{theirs}.attention.self.{x}.{kind}"] for x in ("query", "key", "value")]
            )
            for old, new in _BLOCK.items():
                ours[f"{block}.{new}.{kind}"] = bert[f"{theirs}.{old}.{kind}"]
    return ours
