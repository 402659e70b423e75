"""The content of a local folder, by which a data set in it is known again."""

import hashlib
from pathlib import Path

from clozekit.files import sha256_of_file


def digest_of_folder(folder: Path) -> str:
    """Returns a hexadecimal SHA-256 of the names and the content of the files in a folder."""
    digest = hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(f"{file.relative_to(folder)}\0{sha256_of_file(file)}\0".encode())
    return digest.hexdigest()


def cache_of(digest: str) -> str:
    """Returns the cache of a local data set: one per content, for `datasets` goes by file times."""
    import datasets

    return str(Path(datasets.config.HF_DATASETS_CACHE) / f"content-{digest[:32]}")
