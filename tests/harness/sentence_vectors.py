"""sentence-transformers, whose import takes seconds that only the tests of it should pay."""

from pathlib import Path
from typing import Any


def sentence_transformer(folder: Path) -> Any:
    """Loads a folder as a `SentenceTransformer` on the CPU."""
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(str(folder), device="cpu")
