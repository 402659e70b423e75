"""Recognizes files of other programs, and checks zip archives before they are loaded."""

import pickle
import re
import zipfile
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from clozekit.config.stored.plain import shown
from clozekit.errors import DataError


def check_archive(file: Path) -> None:
    """Checks that a file of torch is an archive of uncompressed parts with the right checksums.

    `torch.save` does not compress, so a compressed part is not from torch. It could be a thousand
    times as large in memory as on disk. `torch.load` does not look at the checksums.

    Raises:
        DataError: The file is a TorchScript program, has compressed parts, or a part is damaged.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            parts = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, RuntimeError, NotImplementedError):
        return  # torch says what is wrong with it
    if any(part.filename.endswith("/constants.pkl") for part in parts):
        raise DataError(
            f"{file} is a TorchScript program, which clozekit does not run; save its weights with "
            "torch.save(torch.jit.load(file).state_dict(), 'pytorch_model.bin') beside a "
            "config.json, and use that folder"
        )
    size = file.stat().st_size
    is_stored = all(part.compress_type == zipfile.ZIP_STORED for part in parts)
    if not is_stored or sum(part.file_size for part in parts) > size:
        raise DataError(f"{file} is not a complete checkpoint: it is larger unpacked than on disk")
    status = file.stat()
    if (part := _damaged_part(file, status.st_ino, status.st_size, status.st_mtime_ns)) is not None:
        raise DataError(f"{file} is damaged: its part {shown(part)} does not have its checksum")


@lru_cache(maxsize=256)
def _damaged_part(file: Path, inode: int, size: int, mtime: int) -> str | None:
    """Returns the name of a part with another checksum, if any; a file is read once."""
    with zipfile.ZipFile(file) as archive:
        for part in archive.infolist():
            if not part.CRC:
                continue  # torch can save without checksums
            try:
                with archive.open(part) as content:
                    while content.read(1 << 20):
                        pass
            except (zipfile.BadZipFile, EOFError):
                return part.filename
    return None


def refuse_pickle(file: Path, error: Exception) -> None:
    """Checks that what torch says of a file is not that it has pickled objects, as a module is.

    Args:
        file: The file.
        error: What torch raised.

    Raises:
        DataError: The file has such objects; the message says what to save instead.
    """
    if not isinstance(error, pickle.UnpicklingError):
        return
    # In an archive of torch it names the objects; in a plain pickle it does not.
    if "file can still be loaded" in str(error) or _beginning(file, 1) == b"\x80":
        raise DataError(
            f"{file} has pickled objects, such as a whole model, which are not opened because they "
            "could run code; nothing in it was executed; save the weights alone: "
            "torch.save(model.state_dict(), 'pytorch_model.bin') or safetensors, beside a "
            "config.json"
        ) from error


def _beginning(file: Path, size: int) -> bytes:
    with file.open("rb") as opened:
        return opened.read(size)


def check_tensors(file: Path, content: dict[Any, Any]) -> dict[str, Tensor]:
    """Checks that the content of a file is named tensors, not larger than what is stored of them.

    Raises:
        DataError: It has something else.
    """
    for name, tensor in content.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise DataError(
                f"{file} is not a state dict of names and tensors: it has {shown(name)}: "
                f"{shown(tensor)}"
            )
        is_plain = tensor.layout == torch.strided and tensor.device.type == "cpu"
        if not is_plain or tensor.is_nested or tensor.is_quantized:
            raise DataError(f"{file} is damaged: {name} is not a plain tensor")
        # A tensor with a stride of 0 could be of any size.
        if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
            raise DataError(f"{file} is damaged: {name} is larger than what is stored of it")
    return content


_CONVERT = (
    "convert it with transformers 4 and tensorflow: python -m transformers.models.bert."
    "convert_bert_original_tf_checkpoint_to_pytorch --tf_checkpoint_path bert_model.ckpt "
    "--bert_config_file bert_config.json --pytorch_dump_path pytorch_model.bin; then copy "
    "bert_config.json to config.json beside it, with vocab.txt, and use that folder"
)
_RESAVE = (
    "save it with transformers 4 as PyTorch, by the class in architectures of config.json, such as "
    "BertModel.from_pretrained(folder, {}=True).save_pretrained(out)"
)
_TENSORFLOW_CHECKPOINT = re.compile(r"(?P<prefix>.+\.ckpt(-\d+)?)\.(index|meta|data-\d+-of-\d+)")
_FOREIGN = {
    ".h5": ("a model of Keras", _RESAVE.format("from_tf")),
    ".msgpack": ("a model of Flax", _RESAVE.format("from_flax")),
    ".onnx": ("an ONNX model", "use the folder or checkpoint that it was exported from"),
    ".gguf": ("a model of llama.cpp", "use the original folder"),
    ".pb": ("a program of TensorFlow", _RESAVE.format("from_tf")),
}
_OF_A_FOLDER = (".safetensors", ".bin")
_OF_CHECKPOINTS = (".ckpt", ".pt", ".pth")
_OF_TORCH = (b"PK", b"\x80")
"""How archives and pickles begin."""

_ADAPTER = re.compile(r"adapter_(config\.json|model\.(safetensors|bin))")
_MERGE = (
    "merge it with its model (base_model_name_or_path in adapter_config.json) in peft: "
    "PeftModel.from_pretrained(model, folder).merge_and_unload().save_pretrained(out); then use "
    "that folder"
)


def refuse_foreign_file(path: Path) -> None:
    """Checks that a file is not known to belong to another program.

    Raises:
        DataError: It does; the message says what it is and how to convert it.
    """
    if _TENSORFLOW_CHECKPOINT.fullmatch(path.name):
        raise DataError(f"{path} belongs to a TensorFlow checkpoint; {_CONVERT}")
    if path.suffix in _FOREIGN:
        what, remedy = _FOREIGN[path.suffix]
        raise DataError(f"{path} is {what}; {remedy}")
    if _ADAPTER.fullmatch(path.name):
        raise DataError(f"{path} belongs to an adapter of PEFT, which has no model; {_MERGE}")
    if path.suffix in _OF_A_FOLDER:
        raise DataError(
            f"{path} has only weights; use the folder {path.parent}, which needs a config.json too"
        )
    # A damaged checkpoint is told otherwise.
    if path.suffix not in _OF_CHECKPOINTS and not _beginning(path, 2).startswith(_OF_TORCH):
        raise DataError(f"{path} is not a checkpoint{_remedy_beside(path)}")


def _remedy_beside(path: Path) -> str:
    """Names the folder of a file, if that is what can be opened."""
    folder = path.parent
    if (folder / "checkpoints").is_dir():
        return f"; use the folder of its run, {folder}"
    if (folder / "config.json").is_file() or (folder / "modules.json").is_file():
        return f"; use the folder of its model, {folder}"
    return "; use a .ckpt file, the folder of a run, or a model's folder"


def refuse_foreign_folder(path: Path) -> None:
    """Checks that a path without a `config.json`, or without weights, is not of another program.

    Args:
        path: A folder, or the prefix of the files of a TensorFlow checkpoint.

    Raises:
        DataError: It does; the message says what it is and how to convert it.
    """
    if path.is_dir():
        names = sorted(file.name for file in path.iterdir())
        has_config = "config.json" in names
        if "encoder.json" in names and not has_config:
            raise DataError(
                f"{path} is an export of clozekit for other programs, by format=safetensors or "
                "format=onnx; use the checkpoint that it was exported from, or export that with "
                "format=transformers"
            )
        if any(map(_ADAPTER.fullmatch, names)):
            raise DataError(f"{path} is an adapter of PEFT, which has no model; {_MERGE}")
        for name in names:
            if (name == "bert_config.json" and not has_config) or _TENSORFLOW_CHECKPOINT.fullmatch(
                name
            ):
                raise DataError(
                    f"{path} is a TensorFlow checkpoint of google-research/bert; {_CONVERT}"
                )
        for name in names:
            if Path(name).suffix in _FOREIGN:
                refuse_foreign_file(path / name)
    elif path.with_name(f"{path.name}.index").is_file():
        raise DataError(f"{path} is a TensorFlow checkpoint of google-research/bert; {_CONVERT}")
