"""A prepared corpus and its manifest. Opening it does not need heavy imports."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, ValidationError

from clozekit.errors import DataError
from clozekit.files import sha256_of

FORMAT_VERSION = 1
MANIFEST_FILE = "manifest.json"
TOKENIZER_FILE = "tokenizer.json"

Split: TypeAlias = Literal["train", "validation"]
SPLITS: tuple[Split, ...] = ("train", "validation")


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

    documents: int
    sentences: int
    tokens: int
    unknown_tokens: int


class ShardRecord(Counts):
    """A shard: its file name, SHA-256 and size."""

    file: str
    sha256: str


class SplitRecord(Counts):
    """A split: its total size, and its shards."""

    shards: tuple[ShardRecord, ...]


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
        configuration: The configuration that the corpus was prepared with.
    """

    format_version: int
    vocab_size: int
    tokenizer_sha256: str
    splits: dict[Split, SplitRecord]
    empty_documents: int
    duplicate_documents: int
    configuration: dict[str, Any]


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
    def tokenizer_file(self) -> Path:
        """The tokenizer file, in the format of the `tokenizers` library."""
        return self.folder / TOKENIZER_FILE

    def shards(self, split: Split) -> list[Path]:
        """Returns the shard files of a split, in order."""
        return [self.folder / shard.file for shard in self.manifest.splits[split].shards]

    @property
    def hash(self) -> str:
        """A hexadecimal hash of the content of all shards and the tokenizer."""
        parts = [self.manifest.tokenizer_sha256]
        for split in SPLITS:
            parts += [split, *(shard.sha256 for shard in self.manifest.splits[split].shards)]
        return sha256_of(["\n".join(parts).encode()])


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
    text = path.read_bytes()
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
