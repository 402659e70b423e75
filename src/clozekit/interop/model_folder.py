"""The files of a model folder: where they are, and what is in them as plain data and tensors."""

import json
import pickle
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor

from clozekit.corpus.vocabulary import load_tokenizer
from clozekit.errors import DataError

WEIGHT_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
_SMALL_FILES = (
    "config.json",
    "modules.json",
    "vocab.txt",
    "tokenizer.json",
    "tokenizer_config.json",
)
# sentence-transformers' name for the folder of the encoder, where it is not the top folder.
_SUBFOLDERS = ("", "0_Transformer/", "0_BERT/")


def download(name: str) -> Path:
    """Fetches a model of the Hugging Face hub to its cache, safetensors where it has them.

    Raises:
        DataError: There is no such model, or the hub cannot be reached.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    def fetch(*files: str) -> Path:
        patterns = [folder + file for folder in _SUBFOLDERS for file in files]
        return Path(snapshot_download(name, allow_patterns=patterns))

    try:
        folder = fetch(*_SMALL_FILES, "model*.safetensors", "model.safetensors.index.json")
        if not any(folder.rglob("*.safetensors")):
            folder = fetch("pytorch_model*.bin", "pytorch_model.bin.index.json")
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise DataError(
            f"{name}: there is no such file or folder here, and it could not be had from the "
            f"Hugging Face hub ({type(error).__name__})"
        ) from error
    return folder


def encoder_folder(folder: Path) -> Path:
    """Gives the folder of the encoder: of sentence-transformers' modules the first, or itself."""
    modules_file = folder / "modules.json"
    if (folder / "config.json").is_file() or not modules_file.is_file():
        return folder
    modules = read_json(modules_file)
    try:
        return folder / str(modules[0]["path"])
    except (KeyError, IndexError, TypeError):
        raise DataError(f"{modules_file}: its first entry has no path") from None


def read_json(path: Path) -> Any:
    """Reads a JSON file.

    Raises:
        DataError: It cannot be read.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: it is not JSON that can be read ({error})") from error


def read_tensors(folder: Path) -> dict[str, Tensor]:
    """Reads all tensors of a model folder; nothing in the files is executed.

    Raises:
        DataError: There is no file of weights, or one is not whole, or holds more than tensors.
    """
    for name in WEIGHT_FILES:
        path = folder / name
        if path.is_file():
            return _read_shards(path) if name.endswith(".json") else _read_tensors(path)
    raise DataError(f"{folder}: there are no weights; one of {', '.join(WEIGHT_FILES)} is needed")


def read_tokenizer(folder: Path) -> Tokenizer | None:
    """Reads a folder's tokenizer, if it has one.

    Raises:
        DataError: The file is no tokenizer with BERT's five special tokens.
    """
    if (folder / "tokenizer.json").is_file():
        return load_tokenizer(folder / "tokenizer.json")
    if not (folder / "vocab.txt").is_file():
        return None
    settings_file = folder / "tokenizer_config.json"
    settings = read_json(settings_file) if settings_file.is_file() else {}
    return load_tokenizer(
        folder / "vocab.txt",
        lowercase=settings.get("do_lower_case"),
        strip_accents=settings.get("strip_accents"),
        handle_chinese_chars=settings.get("tokenize_chinese_chars"),
    )


def _read_shards(index_file: Path) -> dict[str, Tensor]:
    index = read_json(index_file)
    shards = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(shards, dict):
        raise DataError(f"{index_file}: it has no weight_map")
    tensors: dict[str, Tensor] = {}
    for shard in sorted(set(map(str, shards.values()))):
        path = index_file.with_name(Path(shard).name)
        if not path.is_file():
            raise DataError(f"{index_file}: its shard {shard} is not there")
        tensors |= _read_tensors(path)
    if missing := sorted(shards.keys() - tensors.keys()):
        raise DataError(f"{index_file}: none of its shards has {', '.join(missing)}")
    return tensors


def _read_tensors(path: Path) -> dict[str, Tensor]:
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except (SafetensorError, OSError) as error:
            raise DataError(f"{path}: it is not a whole safetensors file ({error})") from error
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise DataError(
            f"{path}: it holds other things than tensors, or is damaged; nothing in it was run"
        ) from error
    except Exception as error:
        raise DataError(
            f"{path}: it is not a whole file of weights ({type(error).__name__})"
        ) from error
    if not isinstance(content, dict) or not all(isinstance(t, Tensor) for t in content.values()):
        raise DataError(f"{path}: it is not a state dict, names and tensors alone")
    return {str(name): tensor for name, tensor in content.items()}
