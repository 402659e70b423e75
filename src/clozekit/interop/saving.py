"""Writes a model folder that other programs can read."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from tokenizers import Tokenizer
from torch import Tensor

from clozekit.config.encoder import EncoderConfig
from clozekit.corpus.tokenizers.special_tokens import SpecialTokens
from clozekit.errors import ConfigError
from clozekit.files import write_json
from clozekit.interop.families import family_of_encoder, parts_in_words
from clozekit.interop.families.bert import BERT
from clozekit.interop.families.family import Family, Names
from clozekit.interop.head_names import HEADS_WITH_LABELS
from clozekit.interop.pretrained import Pretrained
from clozekit.interop.tokenizer_saving import save_tokenizer


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
    family = _family(model)
    parts = {name.partition(".")[0] for name in model.weights}
    architecture = architecture_of(model)
    heads = family.heads_of_architecture[architecture]
    kept = {"encoder", *heads}
    weights = {n: t.float() for n, t in model.weights.items() if n.partition(".")[0] in kept}
    if not family.keeps_pooler(architecture):
        weights = {n: t for n, t in weights.items() if not n.startswith("encoder.pooler.")}
    _save_weights(
        to_transformers(weights, family.names(model.encoder, heads)), folder / "model.safetensors"
    )
    config = {
        "architectures": [architecture],
        "model_type": family.model_type,
        **family.write_config(model.encoder),
        **settings,
    }
    config |= _label_settings(model, family.task_head(architecture))
    if model.tokenizer is not None:
        special_ids = _special_ids(model.tokenizer, family)
        _check_padding(special_ids["pad_token_id"], model.encoder)
        # Without a padding token, the family's own value stays.
        config |= {key: value for key, value in special_ids.items() if value is not None}
        save_tokenizer(model.tokenizer, folder, model.encoder)
    write_json(folder / "config.json", config)
    return sorted(parts - kept)


def _save_weights(weights: dict[str, Tensor], file: Path) -> None:
    """Writes weights to a safetensors file.

    Raises:
        OSError: The file cannot be written; safetensors has an error of its own for this.
    """
    try:
        save_file(weights, file, metadata={"format": "pt"})
    except SafetensorError as error:
        found = re.search(r"\(os error (\d+)\)", str(error))
        if found is None:
            raise
        number = int(found[1])
        raise OSError(number, os.strerror(number), str(file)) from error


def to_transformers(weights: Mapping[str, Tensor], names: Names) -> dict[str, Tensor]:
    """Renames weights to the names of transformers, as contiguous copies.

    Args:
        weights: Weights of a model of `clozekit.models`.
        names: The names in transformers of each tensor.
    """
    theirs: dict[str, Tensor] = {}
    for name, parts in names.items():
        if name in weights:
            for part, tensor in zip(parts, weights[name].chunk(len(parts)), strict=True):
                theirs[part] = tensor.detach().clone(memory_format=torch.contiguous_format)
    return theirs


def save_safetensors(model: Pretrained, folder: Path) -> None:
    """Writes the weights by clozekit's own names, the encoder configuration and the tokenizer.

    Args:
        model: The model.
        folder: An existing folder.
    """
    weights = {name: tensor.detach().clone() for name, tensor in model.weights.items()}
    _save_weights(weights, folder / "model.safetensors")
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
    """Returns the transformers class with the same heads, or the one without heads if none has.

    A class without the next-sentence head may stand for one that transformers does not have.
    """
    family = _family(model)
    heads = frozenset(name.partition(".")[0] for name in model.weights) - {"encoder"}
    has_next_sentences = any("next_sentence_head" in of for of in family.heads_of_class.values())
    for wanted in (heads, heads - {"next_sentence_head"}):
        named = family.names(model.encoder, wanted)
        poolers = () if has_next_sentences else ("encoder.pooler.", "next_sentence_head.")
        is_known = all(name in named or name.startswith(poolers) for name in model.weights)
        for architecture, of_class in family.heads_of_architecture.items():
            if is_known and wanted and wanted == of_class:
                return architecture
    return family.base_class


def loading_call(model: Pretrained) -> str:
    """Returns the Python call that loads a saved model in transformers without a warning.

    Without weights for a pooler, `BertModel` and `RobertaModel` initialise one, and no key of
    `config.json` prevents it.
    """
    family, architecture = _family(model), architecture_of(model)
    wants_pooler = architecture == family.base_class and family.has_pooler
    has_pooler = "encoder.pooler.weight" in model.weights
    options = ", add_pooling_layer=False" if wants_pooler and not has_pooler else ""
    return f"{architecture}.from_pretrained(folder{options})"


def _family(model: Pretrained) -> Family:
    family = family_of_encoder(model.encoder)
    if family is None:
        parts = parts_in_words(model.encoder)
        raise ConfigError(f"no class of transformers that clozekit writes has {parts}")
    return family


def _special_ids(tokenizer: Tokenizer, family: Family) -> dict[str, int | None]:
    """Returns the keys of `config.json` for special tokens."""
    special = SpecialTokens.from_tokenizer(tokenizer)
    if family is BERT:
        return {"pad_token_id": special.pad}
    ids = {"cls_token_id": special.cls, "sep_token_id": special.sep}
    ids |= {"bos_token_id": special.cls, "eos_token_id": special.sep}
    return {"pad_token_id": special.pad, **ids}


def _check_padding(pad: int | None, encoder: EncoderConfig) -> None:
    """Checks that positions start after the padding token's id, as they do in RoBERTa.

    Raises:
        ConfigError: They do not.
    """
    offset = encoder.position_offset
    if offset and pad is not None and pad != offset - 1:
        raise ConfigError(
            f"encoder.position_offset={offset} can be written only with a tokenizer whose padding "
            f"token has the id {offset - 1}, because transformers counts positions from it, but "
            f"its id is {pad}; use format=safetensors or format=onnx"
        )


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
