"""Recognizes files of other programs, and checks zip archives before they are loaded."""

import zipfile
from pathlib import Path

from clozekit.errors import DataError


def check_archive(file: Path) -> None:
    """Checks that a file of torch is an archive of uncompressed parts.

    `torch.save` does not compress, so a compressed part is not from torch. It could be a thousand
    times as large in memory as on disk.

    Raises:
        DataError: The file is a TorchScript program, or has compressed parts.
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
