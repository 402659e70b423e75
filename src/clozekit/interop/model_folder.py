"""Finds and reads the files of a model folder, without executing anything in them."""

import re
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor

from clozekit.corpus.tokenizers.tokenizer_files import find_tokenizer, load_tokenizer
from clozekit.documents import read_json
from clozekit.errors import DataError
from clozekit.interop.foreign_files import (
    check_archive,
    check_tensors,
    refuse_foreign_folder,
    refuse_pickle,
)

WEIGHT_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
_SMALL_FILES = (
    "config.json",
    "adapter_config.json",
    "modules.json",
    "sentence_bert_config.json",
    "config_sentence_transformers.json",
    "1_Pooling/config.json",
    "vocab.txt",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.json",
    "merges.txt",
)
# The encoder's folder; the last two are those of sentence-transformers.
_SUBFOLDERS = ("", "0_Transformer/", "0_BERT/")


_FILE_NAME = re.compile(r"\w[\w.-]*")
_SUBFOLDER = re.compile(r"(\w[\w.-]*)?(/\w[\w.-]*)*")


def download(name: str) -> Path:
    """Downloads a model from the Hugging Face hub to its cache, as safetensors if available.

    Raises:
        DataError: The model does not exist, or the hub cannot be reached.
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
            f"{name} does not exist as a file or folder, and could not be downloaded from the "
            f"Hugging Face hub ({type(error).__name__})"
        ) from error
    return folder


def encoder_folder(folder: Path) -> Path:
    """Returns the folder of the encoder: the first sentence-transformers module, or `folder`."""
    modules_file = folder / "modules.json"
    if (folder / "config.json").is_file() or not modules_file.is_file():
        return folder
    modules = read_json(modules_file)
    try:
        path = modules[0]["path"]
    except (KeyError, IndexError, TypeError):
        raise DataError(f"{modules_file}: the first entry has no path") from None
    if not isinstance(path, str) or not _SUBFOLDER.fullmatch(path):
        raise DataError(f"{modules_file}: path={path!r} is not the name of a folder in {folder}")
    return folder / path


def read_tensors(folder: Path) -> dict[str, Tensor]:
    """Reads all tensors of a model folder; nothing in the files is executed.

    Raises:
        DataError: A file is missing, incomplete, or contains more than tensors.
    """
    for name in WEIGHT_FILES:
        path = folder / name
        if path.is_file():
            return _read_shards(path) if name.endswith(".json") else _read_tensors(path)
    refuse_foreign_folder(folder)
    raise DataError(f"{folder} has no weights; one of {', '.join(WEIGHT_FILES)} is required")


def read_tokenizer(folder: Path) -> Tokenizer | None:
    """Reads a folder's tokenizer, if it has one.

    Raises:
        DataError: It lacks a special token that is needed, or a file is damaged.
    """
    return None if find_tokenizer(folder) is None else load_tokenizer(folder)


def _read_shards(index_file: Path) -> dict[str, Tensor]:
    index = read_json(index_file)
    shards = index.get("weight_map") if isinstance(index, dict) else None
    if not isinstance(shards, dict):
        raise DataError(f"{index_file} has no weight_map")
    tensors: dict[str, Tensor] = {}
    for shard in sorted(set(map(str, shards.values()))):
        if not _FILE_NAME.fullmatch(shard):
            raise DataError(f"{index_file}: {shard!r} is not the name of a file beside it")
        path = index_file.with_name(shard)
        if not path.is_file():
            raise DataError(f"{index_file}: the shard {shard} does not exist")
        tensors |= _read_tensors(path)
    if missing := sorted(shards.keys() - tensors.keys()):
        raise DataError(f"{index_file}: no shard contains {', '.join(missing)}")
    return tensors


def _read_tensors(path: Path) -> dict[str, Tensor]:
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except (SafetensorError, OSError) as error:
            raise DataError(f"{path} is damaged or not a safetensors file ({error})") from error
    check_archive(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        refuse_pickle(path, error)
        raise DataError(
            f"{path} is damaged or not a file of weights ({type(error).__name__})"
        ) from error
    if not isinstance(content, dict):
        raise DataError(f"{path} is not a state dict of names and tensors")
    return check_tensors(path, content)
