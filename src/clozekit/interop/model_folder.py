"""Finds and reads the files of a model folder, without executing anything in them."""

import re
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor

from clozekit.corpus.tokenizers.tokenizer_files import find_tokenizer, load_tokenizer
from clozekit.documents import read_json, read_json_object
from clozekit.errors import DataError
from clozekit.interop.foreign_files import (
    check_archive,
    check_tensors,
    refuse_foreign_folder,
    refuse_pickle,
)
from clozekit.interop.sentence_modules import MODULES_FILE, read_modules
from clozekit.output.display import warn

WEIGHT_FILES = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
# In any folder: the first says in which of them the encoder is, and how vectors are pooled.
_CONFIGURATIONS = (MODULES_FILE, "*config.json", "config_sentence_transformers.json")
_TOKENIZER_FILES = (
    *("tokenizer.json", "vocab.txt", "vocab.json", "merges.txt"),
    *("special_tokens_map.json", "added_tokens.json"),
)

_FILE_NAME = re.compile(r"\w[\w.-]*")


def download(name: str) -> Path:
    """Downloads a model from the Hugging Face hub to its cache, as safetensors if available.

    Raises:
        DataError: The model does not exist, or the hub cannot be reached.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    def fetch(*patterns: str) -> Path:
        return Path(snapshot_download(name, allow_patterns=list(patterns)))

    try:
        root = fetch(*_CONFIGURATIONS)
        folder = encoder_folder(root)
        place = "" if folder == root else f"{folder.relative_to(root).as_posix()}/"
        weights = ("model*.safetensors", "model.safetensors.index.json")
        fetch(*(place + file for file in (*_TOKENIZER_FILES, *weights)))
        if not any(folder.glob("*.safetensors")):
            weights = ("pytorch_model*.bin", "pytorch_model.bin.index.json")
            fetch(*(place + file for file in weights))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise DataError(
            f"{name} does not exist as a file or folder, and could not be downloaded from the "
            f"Hugging Face hub ({type(error).__name__})"
        ) from error
    return root


def encoder_folder(folder: Path) -> Path:
    """Returns the folder of the encoder: that of the first module, or `folder` without modules.

    Raises:
        DataError: `modules.json` is damaged.
    """
    modules = read_modules(folder)
    return modules[0].folder if modules else folder


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
    if find_tokenizer(folder) is None:
        return None
    file = folder / "tokenizer_config.json"
    if read_json_object(file).get("truncation_side") == "left":
        warn(
            f"{file}: truncation_side=left is not followed: a text that is too long loses its end, "
            "not its beginning"
        )
    return load_tokenizer(folder)


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
