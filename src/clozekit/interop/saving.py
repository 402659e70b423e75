"""Writes a model folder that other programs can read."""

import json
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from tokenizers import Tokenizer

from clozekit.files import write_json, write_text
from clozekit.interop.head_names import (
    HEADS_OF_ARCHITECTURE,
    HEADS_WITH_LABELS,
    TASK_HEADS,
    WITHOUT_POOLER,
)
from clozekit.interop.pretrained import Pretrained
from clozekit.interop.tensor_names import correspondence, to_transformers


def save_transformers(model: Pretrained, folder: Path, **settings: Any) -> list[str]:
    """Writes a folder that transformers loads with the class that its `architectures` names.

    `loading_call` returns the call that loads it without a warning.

    Args:
        model: The model. Parts that no transformers class has are not written.
        folder: An existing folder.
        **settings: More keys of `config.json`.

    Returns:
        The parts that were not written.
    """
    parts = {name.partition(".")[0] for name in model.weights}
    architecture = architecture_of(model)
    kept = {"encoder"} | HEADS_OF_ARCHITECTURE[architecture]
    weights = {n: t.float() for n, t in model.weights.items() if n.partition(".")[0] in kept}
    if architecture in WITHOUT_POOLER:
        weights = {n: t for n, t in weights.items() if not n.startswith("encoder.pooler.")}
    save_file(
        to_transformers(weights, model.encoder.num_hidden_layers),
        folder / "model.safetensors",
        metadata={"format": "pt"},
    )
    config = {
        "architectures": [architecture],
        "model_type": "bert",
        **model.encoder.published(),
        **settings,
    }
    config |= _label_settings(model, TASK_HEADS.get(architecture))
    if model.tokenizer is not None:
        config["pad_token_id"] = model.tokenizer.token_to_id("[PAD]")
        _save_tokenizer(model.tokenizer, folder, model.encoder.max_position_embeddings)
    write_json(folder / "config.json", config)
    return sorted(parts - kept)


def save_safetensors(model: Pretrained, folder: Path) -> None:
    """Writes the weights by clozekit's own names, the encoder configuration and the tokenizer.

    Args:
        model: The model.
        folder: An existing folder.
    """
    weights = {name: tensor.detach().clone() for name, tensor in model.weights.items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    save_description(model, folder)


def save_description(model: Pretrained, folder: Path) -> None:
    """Writes everything except weights: `encoder.json`, `tokenizer.json`, `labels.json`.

    Args:
        model: The model.
        folder: An existing folder.
    """
    encoder = model.encoder.published()
    if not model.encoder.is_own:
        encoder = {"_target_": model.encoder.target, **encoder}
    write_json(folder / "encoder.json", encoder)
    if model.label_names is not None:
        write_json(folder / "labels.json", model.label_names)
    if model.tokenizer is not None:
        model.tokenizer.save(str(folder / "tokenizer.json"))


def architecture_of(model: Pretrained) -> str:
    """Returns the transformers class with the same heads, or `BertModel` if there is none."""
    named = correspondence(model.encoder.num_hidden_layers)
    heads = {name.partition(".")[0] for name in model.weights} - {"encoder"}
    is_known = all(name in named for name in model.weights)
    for architecture, of_class in HEADS_OF_ARCHITECTURE.items():
        if is_known and heads == of_class:
            return architecture
    return "BertModel"


def loading_call(model: Pretrained) -> str:
    """Returns the Python call that loads a saved model in transformers without a warning.

    Without weights for a pooler, `BertModel` initialises one, and no key of `config.json` prevents
    it.
    """
    architecture = architecture_of(model)
    has_pooler = "encoder.pooler.weight" in model.weights
    options = "" if architecture != "BertModel" or has_pooler else ", add_pooling_layer=False"
    return f"{architecture}.from_pretrained(folder{options})"


def _label_settings(model: Pretrained, head: str | None) -> dict[str, Any]:
    """Returns the keys of `config.json` for labels."""
    if head not in HEADS_WITH_LABELS:
        return {}
    number = len(model.weights[f"{head}.classifier.bias"])
    names = model.label_names or [f"LABEL_{i}" for i in range(number)]
    config: dict[str, Any] = {
        "id2label": {str(i): name for i, name in enumerate(names)},
        "label2id": {name: i for i, name in enumerate(names)},
    }
    if head == "classification_head" and model.problem_type is not None:
        config["problem_type"] = model.problem_type
    return config


def _save_tokenizer(tokenizer: Tokenizer, folder: Path, max_length: int) -> None:
    tokenizer.save(str(folder / "tokenizer.json"))
    content = json.loads(tokenizer.to_str())
    normalizer = content["normalizer"] or {}
    config: dict[str, Any] = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": max_length,
        "model_input_names": ["input_ids", "token_type_ids", "attention_mask"],
        **{f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")},
    }
    if content["model"]["type"] == "WordPiece" and normalizer.get("type") == "BertNormalizer":
        config |= {
            "tokenizer_class": "BertTokenizer",
            "do_lower_case": normalizer["lowercase"],
            "strip_accents": normalizer["strip_accents"],
            "tokenize_chinese_chars": normalizer["handle_chinese_chars"],
        }
        ids = tokenizer.get_vocab()
        if sorted(ids.values()) == list(range(len(ids))):
            lines = "".join(f"{token}\n" for token in sorted(ids, key=ids.__getitem__))
            write_text(folder / "vocab.txt", lines)
    write_json(folder / "tokenizer_config.json", config)
