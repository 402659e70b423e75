"""A prepared corpus and its manifest. Opening it does not need heavy imports."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self, TypeAlias

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveInt,
    ValidationError,
    model_validator,
)

from clozekit.errors import DataError
from clozekit.files import sha256_of, sha256_of_file

FORMAT_VERSION = 1
MANIFEST_FILE = "manifest.json"
TOKENIZER_FILE = "tokenizer.json"

Split: TypeAlias = Literal["train", "validation"]
SPLITS: tuple[Split, ...] = ("train", "validation")
Input: TypeAlias = Literal["source", "tokenizer"]
INPUTS: tuple[Input, ...] = ("source", "tokenizer")


SHARD_FILE = r"(train|validation)-\d{5,9}\.arrow"
SHA256 = r"^[0-9a-f]{64}$"
MOST_TOKENS = 2**24
"""Maximum size of a vocabulary; published ones have up to a million tokens."""


class _Record(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Counts(_Record):
    """The size of a shard or a split.

    Attributes:
        documents: The number of documents.
        sentences: The number of sentences.
        tokens: The number of tokens, including [UNK].
        unknown_tokens: The number of [UNK] tokens.
    """

    documents: NonNegativeInt
    sentences: NonNegativeInt
    tokens: NonNegativeInt
    unknown_tokens: NonNegativeInt


class ShardRecord(Counts):
    """A shard: its file name, SHA-256 and size."""

    file: str = Field(pattern=f"^{SHARD_FILE}$")
    sha256: str = Field(pattern=SHA256)


class SplitRecord(Counts):
    """A split: its total size, and its shards."""

    shards: tuple[ShardRecord, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _check_counts(self) -> Self:
        for name in Counts.model_fields:
            total, summed = getattr(self, name), sum(getattr(s, name) for s in self.shards)
            if total != summed:
                raise ValueError(f"{name}={total}, but its shards have {summed}")
        if not self.tokens:
            raise ValueError("tokens=0; a split needs text")
        return self


class InputRecord(_Record):
    """What identifies the files of an input.

    Attributes:
        files: The SHA-256 of their names, sizes and times, or of their versions in a store.
        content: The SHA-256 of their content; None if they are in a store.
    """

    files: str = Field(pattern=SHA256)
    content: str | None = Field(None, pattern=SHA256)


class Manifest(_Record):
    """The content of a corpus folder.

    Attributes:
        format_version: The version of the folder's format.
        vocab_size: The largest token id plus one.
        tokenizer_sha256: The SHA-256 of the folder's `tokenizer.json`.
        splits: The training shards and the held-out validation shards.
        empty_documents: The number of documents skipped because they have no text.
        duplicate_documents: The number of documents skipped because another document has the same
            text.
        near_duplicate_documents: The number of documents skipped because an earlier document has a
            similar text.
        filtered_documents: The number of documents that each rule of `filters` left out.
        configuration: The configuration that the corpus was prepared with.
        inputs: What identifies the source, and the tokenizer if it existed before. Corpora of
            earlier versions have none, nor has a source on the Hugging Face Hub.
    """

    format_version: PositiveInt
    vocab_size: int = Field(gt=0, le=MOST_TOKENS)
    tokenizer_sha256: str = Field(pattern=SHA256)
    splits: dict[Split, SplitRecord]
    empty_documents: NonNegativeInt
    duplicate_documents: NonNegativeInt
    near_duplicate_documents: NonNegativeInt = 0
    filtered_documents: dict[str, NonNegativeInt] = {}
    configuration: dict[str, Any]
    inputs: dict[Input, InputRecord] = {}

    def to_json(self) -> str:
        """Returns the text of the manifest file.

        Counts that earlier versions do not know are left out if they are zero, so that these
        versions can read the corpus.
        """
        return self.model_dump_json(indent=2, exclude_defaults=True)

    @model_validator(mode="after")
    def _check_splits(self) -> Self:
        missing = [split for split in SPLITS if split not in self.splits]
        if missing:
            raise ValueError(f"splits has no {' and no '.join(missing)}")
        names = [shard.file for split in self.splits.values() for shard in split.shards]
        if len(set(names)) < len(names):
            raise ValueError("splits has a shard twice")
        return self

    @property
    def hash(self) -> str:
        """A hexadecimal hash of the content of all shards and the tokenizer."""
        parts = [self.tokenizer_sha256]
        for split in SPLITS:
            parts += [split, *(shard.sha256 for shard in self.splits[split].shards)]
        return sha256_of(["\n".join(parts).encode()])


def filtered_in_words(filtered: Mapping[str, int]) -> str:
    """Names the number of documents that each rule of `filters` left out."""
    return ", ".join(f"{number:,} by {rule}" for rule, number in sorted(filtered.items()))


class _Versioned(BaseModel):
    format_version: int


@dataclass(frozen=True)
class Corpus:
    """A folder of shards, their tokenizer and their manifest."""

    folder: Path
    manifest: Manifest

    @classmethod
    def open(cls, folder: Path | str) -> Self:
        """Reads a corpus folder's manifest.

        Raises:
            DataError: The folder is not a complete corpus, or has a newer format.
        """
        folder = Path(folder)
        manifest = _read_manifest(folder)
        corpus = cls(folder, manifest)
        for path in (corpus.tokenizer_file, *corpus.shards("train"), *corpus.shards("validation")):
            if not path.is_file():
                raise DataError(f"{path} does not exist, but {folder / MANIFEST_FILE} lists it")
        return corpus

    @property
    def place(self) -> str:
        """The folder's path or URL, for messages."""
        return str(self.folder)

    @property
    def tokenizer_file(self) -> Path:
        """The tokenizer file, in the format of the `tokenizers` library."""
        return self.folder / TOKENIZER_FILE

    def check_tokenizer(self) -> None:
        """Checks that the tokenizer file is the one that the corpus was prepared with.

        Raises:
            DataError: It has been changed.
        """
        digest = sha256_of_file(self.tokenizer_file)
        if digest != self.manifest.tokenizer_sha256:
            raise DataError(
                f"{self.tokenizer_file} is not the tokenizer that the corpus was prepared with: "
                f"its SHA-256 is {digest[:12]}… instead of "
                f"{self.manifest.tokenizer_sha256[:12]}…; prepare the corpus again"
            )

    def shards(self, split: Split) -> list[Path]:
        """Returns the shard files of a split, in order."""
        return [self.folder / shard.file for shard in self.manifest.splits[split].shards]

    @property
    def hash(self) -> str:
        """A hexadecimal hash of the content of all shards and the tokenizer."""
        return self.manifest.hash


def _read_manifest(folder: Path) -> Manifest:
    path = folder / MANIFEST_FILE
    if not folder.is_dir():
        raise DataError(
            f"the corpus folder {folder} does not exist; create it with `clozekit prepare`"
        )
    if not path.is_file():
        raise DataError(
            f"{folder} has no {MANIFEST_FILE}, so it is not a complete corpus; run "
            "`clozekit prepare` to create or finish it"
        )
    try:
        text = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    return parse_manifest(text, str(path))


def parse_manifest(text: bytes, path: str) -> Manifest:
    """Parses a manifest.

    Args:
        text: Its JSON.
        path: Its file, for messages.

    Raises:
        DataError: It is not a manifest, or has a newer format.
    """
    try:
        version = _Versioned.model_validate_json(text).format_version
        if version > FORMAT_VERSION:
            raise DataError(
                f"{path} has format_version {version}; "
                f"this version of clozekit reads up to {FORMAT_VERSION}"
            )
        return Manifest.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise DataError(f"{path} is not a valid manifest: {where}: {first['msg']}") from None
