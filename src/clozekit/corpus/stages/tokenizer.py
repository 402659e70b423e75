"""The tokenizer of a corpus: copied, trained on the counts of words, or extended with them."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from tokenizers import Tokenizer

from clozekit.config.prepare import (
    BPEConfig,
    ExistingTokenizerConfig,
    ExtendedTokenizerConfig,
    WordPieceConfig,
)
from clozekit.corpus.tokenizers.byte_level import count_byte_words, train_byte_level
from clozekit.corpus.tokenizers.extension import PieceCounter, check_extensible, extended
from clozekit.corpus.tokenizers.special_tokens import SETTINGS_FILES, SpecialTokens
from clozekit.corpus.tokenizers.tokenizer_files import load_tokenizer
from clozekit.corpus.tokenizers.vocabulary import count_words, train_from_counts
from clozekit.corpus.work_folder import Work
from clozekit.errors import DataError
from clozekit.files import write_atomically
from clozekit.storage import remote_files
from clozekit.storage.urls import is_url, name_of

Counter: TypeAlias = Callable[[pa.StringArray, NDArray[np.bool_]], Mapping[str, int]]
"""Counts the words of sentences, which are or are not the first of their documents."""


def copy_tokenizer(work: Work, config: ExistingTokenizerConfig | ExtendedTokenizerConfig) -> None:
    """Copies an existing tokenizer to the corpus folder, as a complete `tokenizer.json`.

    One to extend is copied to the work folder.

    Raises:
        DataError: It cannot be read, or not be extended.
    """
    if isinstance(config, ExtendedTokenizerConfig):
        base = load_tokenizer(_at_hand(work, config.base))
        _check_mask(base, config.base)
        check_extensible(base, config.base)
        save_tokenizer(base, _base_file(work))
        return
    path, chars = _at_hand(work, config.path), config.handle_chinese_chars
    tokenizer = load_tokenizer(path, config.lowercase, config.strip_accents, chars)
    _check_mask(tokenizer, config.path)
    save_tokenizer(tokenizer, work.tokenizer_file)


def _check_mask(tokenizer: Tokenizer, path: str) -> None:
    """Checks before the whole corpus is tokenized that words can be masked.

    Raises:
        DataError: There is no mask token.
    """
    if SpecialTokens.from_tokenizer(tokenizer, path).mask is None:
        raise DataError(
            f"{path} has no mask token, which masked words need; name one, as mask_token in the "
            "tokenizer_config.json beside it"
        )


def word_counter(work: Work) -> Counter:
    """Returns what counts the words that the vocabulary is trained on."""
    config = work.config.tokenizer
    if isinstance(config, BPEConfig):
        return partial(count_byte_words, config=config)
    if isinstance(config, ExtendedTokenizerConfig):
        return PieceCounter(Tokenizer.from_file(str(_base_file(work))))
    assert isinstance(config, WordPieceConfig)
    return lambda sentences, begins_text: count_words(sentences, config)


def train_from(counts: Mapping[str, int], work: Work) -> Tokenizer:
    """Trains the vocabulary on the counts of words."""
    config = work.config.tokenizer
    if isinstance(config, BPEConfig):
        return train_byte_level(counts, config)
    if isinstance(config, ExtendedTokenizerConfig):
        return extended(Tokenizer.from_file(str(_base_file(work))), counts, config.add)
    assert isinstance(config, WordPieceConfig)
    return train_from_counts(counts, config)


def save_tokenizer(tokenizer: Tokenizer, path: Path) -> None:
    """Writes a `tokenizer.json`."""
    with write_atomically(path) as file:
        file.write(tokenizer.to_str(pretty=True).encode())


def _base_file(work: Work) -> Path:
    return work.file("tokenizer", "base.json")


def _at_hand(work: Work, path: str) -> Path:
    """Returns a local path of a tokenizer, with the files beside it."""
    if not is_url(path):
        return Path(path)
    folder = path.rpartition("/")[0]
    for name in SETTINGS_FILES:
        if remote_files.exists(f"{folder}/{name}"):
            remote_files.download(f"{folder}/{name}", work.file("tokenizer", name))
    target = work.file("tokenizer", name_of(path))
    remote_files.download(path, target)
    return target
