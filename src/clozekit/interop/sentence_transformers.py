"""Folders of sentence-transformers: an encoder, its pooling, and vectors of length 1."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from clozekit.config.values import LARGEST
from clozekit.documents import read_json, read_json_object
from clozekit.errors import ConfigError
from clozekit.files import write_json
from clozekit.interop.families import family_of_encoder
from clozekit.interop.pretrained import EmbeddingSettings, Pretrained
from clozekit.interop.saving import save_transformers

EMBEDDING = "clozekit.tasks.embedding.EmbeddingModule"
"""The task whose vectors such a folder computes."""

_MODULES = ("Transformer", "Pooling", "Normalize")
_POOLING_FILE = "1_Pooling/config.json"
_TRANSFORMER_FILE = "sentence_bert_config.json"
_PROMPTS_FILE = "config_sentence_transformers.json"
# Newer versions have `pooling_mode`, but read these, as all older versions do.
_POOLING_KEYS = {"cls": "pooling_mode_cls_token", "mean": "pooling_mode_mean_tokens"}
_OTHER_POOLINGS = (
    *("pooling_mode_max_tokens", "pooling_mode_mean_sqrt_len_tokens"),
    *("pooling_mode_weightedmean_tokens", "pooling_mode_lasttoken"),
)


def without_heads(model: Pretrained) -> Pretrained:
    """Returns the encoder of a model."""
    weights = {n: t for n, t in model.weights.items() if n.startswith("encoder.")}
    return replace(model, weights=weights, label_names=None, problem_type=None)


def save_sentence_transformers(
    model: Pretrained, folder: Path, settings: EmbeddingSettings
) -> None:
    """Writes a folder that `SentenceTransformer(folder)` loads, with vectors of length 1.

    Args:
        model: The model; its heads are not written.
        folder: An existing folder.
        settings: The pooling and the maximum length.
    """
    model = without_heads(model)
    save_transformers(model, folder)
    modules = [
        {
            "idx": number,
            "name": str(number),
            "path": "" if number == 0 else f"{number}_{kind}",
            "type": f"sentence_transformers.models.{kind}",
        }
        for number, kind in enumerate(_MODULES)
    ]
    write_json(folder / "modules.json", modules)
    transformer: dict[str, Any] = {
        "max_seq_length": settings.max_seq_length,
        "do_lower_case": False,
    }
    family = family_of_encoder(model.encoder)
    has_pooler = "encoder.pooler.weight" in model.weights
    if family is not None and family.has_pooler and not has_pooler:
        # Otherwise transformers initializes a pooler and warns of it.
        transformer["model_args"] = {"add_pooling_layer": False}
    write_json(folder / _TRANSFORMER_FILE, transformer)
    (folder / _POOLING_FILE).parent.mkdir()
    pooling = {key: mode == settings.pooling for mode, key in _POOLING_KEYS.items()}
    write_json(
        folder / _POOLING_FILE,
        {"word_embedding_dimension": model.encoder.hidden_size}
        | pooling
        | dict.fromkeys(_OTHER_POOLINGS, False),
    )
    write_json(
        folder / _PROMPTS_FILE,
        {"prompts": {}, "default_prompt_name": None, "similarity_fn_name": "cosine"},
    )


def read_settings(folder: Path) -> EmbeddingSettings | None:
    """Reads how a folder makes vectors.

    Returns:
        The pooling and the length; None if the folder is not of sentence-transformers, or makes
        vectors in another way than by the mean or the first token.

    Raises:
        DataError: A file is not JSON.
    """
    modules_file = folder / "modules.json"
    if not modules_file.is_file():
        return None
    modules = read_json(modules_file)
    kinds = [_kind(module) for module in modules] if isinstance(modules, list) else []
    if kinds not in (list(_MODULES), list(_MODULES[:2])):
        return None
    pooling = _pooling(folder / _POOLING_FILE)
    if pooling is None:
        return None
    return EmbeddingSettings(
        pooling,
        _max_seq_length(folder),
        _default_prompt(folder),
        lowercases=read_json_object(folder / _TRANSFORMER_FILE).get("do_lower_case") is True,
    )


def check_preprocessing(pretrained: Pretrained) -> None:
    """Checks that a folder of sentence-transformers does nothing else to texts before tokens.

    Raises:
        ConfigError: It does, so its vectors would be others.
    """
    settings = pretrained.embedding
    if pretrained.task is not None or settings is None:
        return
    if settings.prompt:
        raise ConfigError(
            f"{pretrained.path} puts {settings.prompt!r} before each text by default, which "
            f"clozekit does not: set default_prompt_name to null in {_PROMPTS_FILE}, and put it "
            "before the texts yourself"
        )
    if settings.lowercases and _keeps_case(pretrained.tokenizer):
        raise ConfigError(
            f"{pretrained.path} lowercases texts before its tokenizer, which clozekit does not: "
            f"set do_lower_case to false in {_TRANSFORMER_FILE}, and lowercase the texts yourself"
        )


def _keeps_case(tokenizer: Tokenizer | None) -> bool:
    normalizer = None if tokenizer is None else tokenizer.normalizer
    return normalizer is None or normalizer.normalize_str("A") != normalizer.normalize_str("a")


def _default_prompt(folder: Path) -> str:
    """Returns what is put before each text unless a caller chooses another prompt."""
    config = read_json_object(folder / _PROMPTS_FILE)
    prompts, name = config.get("prompts"), config.get("default_prompt_name")
    prompt = prompts.get(name) if isinstance(prompts, dict) and isinstance(name, str) else None
    return prompt if isinstance(prompt, str) else ""


def _kind(module: Any) -> str:
    kind = module.get("type") if isinstance(module, dict) else None
    return kind.rpartition(".")[2] if isinstance(kind, str) else ""


def _pooling(file: Path) -> str | None:
    if not file.is_file():
        return None
    config = read_json_object(file)
    mode = config.get("pooling_mode")
    if isinstance(mode, list) and len(mode) == 1:
        mode = mode[0]
    if mode is not None:
        return mode if mode in ("mean", "cls") else None
    chosen = [key for key, value in config.items() if key.startswith("pooling_mode_") and value]
    if not chosen:
        return "mean"  # as sentence-transformers does
    return next((mode for mode, key in _POOLING_KEYS.items() if chosen == [key]), None)


def _max_seq_length(folder: Path) -> int | None:
    """Returns the length in the file of older versions, else that of newer ones."""
    files = {_TRANSFORMER_FILE: "max_seq_length"}
    files["tokenizer_config.json"] = "model_max_length"
    for file, key in files.items():
        length = read_json_object(folder / file).get(key)
        # Tokenizers without a maximum have a number of 31 digits.
        if isinstance(length, int) and not isinstance(length, bool) and 8 <= length <= LARGEST:
            return length
    return None
