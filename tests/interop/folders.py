"""Folders as transformers writes them, with random weights."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import BertConfig, PreTrainedModel

from tests.models.batches import PackedBatch

WORDS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "cow", "sea", "##s", "sail")


def bert_config(**changes: Any) -> BertConfig:
    sizes: dict[str, Any] = {
        "vocab_size": 60,
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 48,
        "max_position_embeddings": 16,
    }
    return BertConfig(**(sizes | changes), attn_implementation="eager")


def random_model(model_class: type[PreTrainedModel], **changes: Any) -> Any:
    """A model in evaluation, every parameter random: zeros would hide mistakes."""
    model: Any = model_class(bert_config(**changes)).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.normal_(0, 0.1, generator=generator)
            if name.endswith("LayerNorm.weight"):
                parameter.add_(1)
    return model


def write_vocabulary(folder: Path, pad: int = 0) -> None:
    """Writes WORDS, with [PAD] in another place."""
    words = list(WORDS)
    words.insert(pad, words.pop(0))
    (folder / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")


def saved(model: Any, folder: Path) -> Path:
    model.save_pretrained(folder)
    return folder


def padded(batch: PackedBatch) -> dict[str, Tensor]:
    """A batch as transformers reads it."""
    packing = batch.packing
    return {
        "input_ids": packing.pad(batch.input_ids),
        "token_type_ids": packing.pad(batch.token_type_ids),
        "attention_mask": packing.attention_mask.long(),
    }
