"""Folders of sentence-transformers: an encoder, its pooling, and vectors of length 1."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from clozekit.config.values import LARGEST, SHORTEST_SEQUENCE
from clozekit.documents import read_json_object
from clozekit.errors import ConfigError
from clozekit.files import write_json
from clozekit.interop.families import family_of_encoder
from clozekit.interop.pretrained import EmbeddingSettings, Pretrained
from clozekit.interop.saving import save_transformers
from clozekit.interop.sentence_modules import MODULES_FILE, read_modules
from clozekit.output.display import printable

EMBEDDING = "clozekit.tasks.embedding.EmbeddingModule"
"""The task whose vectors such a folder computes."""

_MODULES = ("Transformer", "Pooling", "Normalize")
# Vectors have length 1 anyway, and nothing is dropped in inference.
_WITHOUT_EFFECT = ("Normalize", "Dropout")
_POOLING_FILE = "1_Pooling/config.json"
_TRANSFORMER_FILE = "sentence_bert_config.json"
_TRANSFORMER_FILES = (
    _TRANSFORMER_FILE,
    *(
        f"sentence_{kind}_config.json"  # of old versions; the first that there is counts
        for kind in ("roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
    ),
)
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
    write_json(folder / MODULES_FILE, modules)
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


def read_settings(root: Path) -> EmbeddingSettings | None:
    """Reads how a folder makes vectors.

    Args:
        root: The folder with `modules.json`.

    Returns:
        What it says; None if the folder is not of sentence-transformers.

    Raises:
        DataError: A file is damaged.
    """
    modules = read_modules(root)
    if not modules:
        return None
    kinds = tuple(module.kind for module in modules)
    others, pooling = kinds, ""
    if kinds[:2] == _MODULES[:2]:
        others = tuple(kind for kind in kinds[2:] if kind not in _WITHOUT_EFFECT)
        pooling = _pooling(modules[1].folder / "config.json")
    encoder = modules[0].folder
    transformer = _transformer_settings(encoder)
    return EmbeddingSettings(
        pooling,
        _max_seq_length(transformer, encoder),
        _default_prompt(root),
        lowercases=transformer.get("do_lower_case") is True,
        other_modules=others,
    )


def unsupported(settings: EmbeddingSettings) -> str:
    """Says what makes vectors others than those of clozekit; empty if nothing does."""
    if settings.other_modules:
        return (
            f"its {MODULES_FILE} has {', '.join(settings.other_modules)}; only Transformer and "
            "Pooling, then Normalize or Dropout, are supported"
        )
    if settings.pooling not in _POOLING_KEYS:
        given = settings.pooling or "not given"
        return f"its pooling is {given}; only {' and '.join(_POOLING_KEYS)} are supported"
    return ""


def pooling_of(pretrained: Pretrained) -> str | None:
    """Returns the pooling of the vectors that a model makes; None if it makes none."""
    if pretrained.task is not None:
        pooling = pretrained.task.get("pooling", "mean")
        return str(pooling) if pretrained.task["_target_"] == EMBEDDING else None
    settings = pretrained.embedding
    return None if settings is None or unsupported(settings) else settings.pooling


def check_preprocessing(pretrained: Pretrained) -> None:
    """Checks that a folder of sentence-transformers does nothing else to texts before tokens.

    Raises:
        ConfigError: It does, so its vectors would be others.
    """
    settings = pretrained.embedding
    if pretrained.task is not None or settings is None:
        return
    if settings.max_seq_length is not None and settings.max_seq_length < SHORTEST_SEQUENCE:
        raise ConfigError(
            f"{pretrained.path} has max_seq_length={settings.max_seq_length} for its vectors; "
            f"{SHORTEST_SEQUENCE} or more is supported"
        )
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


def _pooling(file: Path) -> str:
    """Returns the pooling by its name in sentence-transformers; empty if the file is missing."""
    if not file.is_file():
        return ""
    config = read_json_object(file)
    given = config.get("pooling_mode")
    if given is None:
        names = {key: name for name, key in _POOLING_KEYS.items()}
        prefix = "pooling_mode_"
        chosen = [key for key, value in config.items() if key.startswith(prefix) and value]
        given = [names.get(key, key.removeprefix(prefix)) for key in chosen]
    modes = given if isinstance(given, list) else [given]
    # Without any, sentence-transformers takes the mean.
    return printable(", ".join(map(str, modes)) or "mean")


def _transformer_settings(encoder: Path) -> dict[str, Any]:
    files = (read_json_object(encoder / name) for name in _TRANSFORMER_FILES)
    return next(filter(None, files), {})


def _max_seq_length(transformer: Mapping[str, Any], encoder: Path) -> int | None:
    """Returns the length that older versions write, else that of newer ones."""
    tokenizer = read_json_object(encoder / "tokenizer_config.json")
    for length in (transformer.get("max_seq_length"), tokenizer.get("model_max_length")):
        # Tokenizers without a maximum have a number of 31 digits.
        if isinstance(length, int) and not isinstance(length, bool) and 1 <= length <= LARGEST:
            return length
    return None
