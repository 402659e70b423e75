"""The stages of `clozekit prepare`. Each resumes where an interrupted run stopped."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
from tokenizers import Tokenizer

from clozekit.config.prepare import (
    ExistingTokenizerConfig,
    HubSource,
    MovieReviewsSource,
    SourceConfig,
    TableSource,
    TextSource,
    WordPieceConfig,
)
from clozekit.corpus.executor import run_tasks
from clozekit.corpus.hold_out import DUPLICATE, MIN_DOCUMENTS, assign_splits, count_shards
from clozekit.corpus.manifest import (
    FORMAT_VERSION,
    MANIFEST_FILE,
    SPLITS,
    Corpus,
    Manifest,
    ShardRecord,
    Split,
    SplitRecord,
)
from clozekit.corpus.output import erase, remove_shards
from clozekit.corpus.readers import plan_partitions
from clozekit.corpus.stages import build_shard, count_piece, read_partition, tokenize_piece
from clozekit.corpus.vocabulary import load_tokenizer, train_from_counts
from clozekit.corpus.work_folder import Piece, Plan, ShardPlan, Work, map_batch
from clozekit.errors import DataError
from clozekit.files import sha256_of_file, write_atomically

PARTITION_BYTES = 8 * 2**20
_FILES_AT_ONCE = 64


def plan_reading(work: Work) -> None:
    """Splits the source into partitions; discards earlier results if the input files changed."""
    partitions = plan_partitions(work.config.source, PARTITION_BYTES, work.folder)
    if not partitions:
        raise DataError(f"{_name(work.config.source)} does not contain any text")
    files = {partition.path for partition in partitions}
    if isinstance(work.config.tokenizer, ExistingTokenizerConfig):
        files.add(work.config.tokenizer.path)
    # Files in the work folder are rewritten at each start; their names identify their content.
    inputs = [_signature(Path(file)) for file in sorted(files) if Path(file).parent != work.folder]
    plan = Plan(partitions, PARTITION_BYTES, inputs).to_json()
    if (work.folder / "plan.json").exists() and work.read_json("plan.json") != plan:
        erase(work)
        plan_partitions(work.config.source, PARTITION_BYTES, work.folder)
    work.write_json("plan.json", plan)


def read_source(work: Work) -> None:
    """Reads all partitions into pieces, and numbers their documents."""
    num_partitions = len(work.plan().partitions)
    run_tasks("read", read_partition, work, num_partitions, work.config.num_workers)
    pieces: list[Piece] = []
    first_row = 0
    for number in range(num_partitions):
        report = work.read_json(f"documents/{number:06d}.json")
        for part, rows in enumerate(report["pieces"]):
            pieces.append(Piece(f"{number:06d}-{part:06d}", first_row, rows))
            first_row += rows
    work.write_json("pieces.json", pieces)


def split_documents(work: Work) -> None:
    """Finds duplicate documents, and holds out documents for validation."""
    batches = [work.documents(piece) for piece in work.pieces()]
    keys, contents = (
        np.concatenate([batch.column(name).to_numpy() for batch in batches] or [np.zeros(0, "u8")])
        for name in ("key", "content")
    )
    fraction = work.config.validation_fraction
    source = work.config.source
    splits = assign_splits(keys, contents, fraction, _name(source), _hint(source))
    with write_atomically(work.folder / "splits.npy") as file:
        np.save(file, splits)


def copy_tokenizer(work: Work, config: ExistingTokenizerConfig) -> None:
    """Copies an existing tokenizer to the corpus folder, as a complete `tokenizer.json`."""
    path = Path(config.path)
    chars = config.handle_chinese_chars
    _save(work, load_tokenizer(path, config.lowercase, config.strip_accents, chars))


def train_vocabulary(work: Work, config: WordPieceConfig) -> None:
    """Trains the vocabulary on the training documents."""
    num_pieces = len(work.pieces())
    run_tasks("count words", count_piece, work, num_pieces, work.config.num_workers)
    if not work.tokenizer_file.exists():
        _save(work, train_from_counts(_all_counts(work), config))


def tokenize(work: Work) -> None:
    """Tokenizes all pieces, and decides on the number of shards."""
    pieces = work.pieces()
    run_tasks("tokenize", tokenize_piece, work, len(pieces), work.config.num_workers)
    plans: list[ShardPlan] = []
    for split in SPLITS:
        tokens = sum(work.read_json(f"tokens/{piece.name}.json")[split] for piece in pieces)
        files = [work.file("tokens", f"{piece.name}-{split}.npy") for piece in pieces]
        keys = np.sort(np.concatenate([np.load(file) for file in files]))
        if len(keys) < MIN_DOCUMENTS:
            raise DataError(
                f"{_name(work.config.source)}: only {len(keys)} documents of the {split} split "
                f"have tokens after tokenization; at least {MIN_DOCUMENTS} are required"
            )
        count = count_shards(keys, tokens, work.config.shard_tokens)
        plans += [ShardPlan(split, index, count) for index in range(count)]
    work.write_json("shards.json", plans)


def build_shards(work: Work) -> None:
    """Writes all shards."""
    plans = work.shard_plans()
    run_tasks("write shards", build_shard, work, len(plans), work.config.num_workers)
    remove_shards(work.out, keep=tuple(plan.file for plan in plans))


def write_manifest(work: Work) -> Corpus:
    """Writes the manifest, which completes the corpus."""
    plan, pieces = work.plan(), work.pieces()
    read_reports = [
        work.read_json(f"documents/{number:06d}.json") for number in range(len(plan.partitions))
    ]
    token_reports = [work.read_json(f"tokens/{piece.name}.json") for piece in pieces]
    vocabulary = work.tokenizer().get_vocab()
    manifest = Manifest(
        format_version=FORMAT_VERSION,
        vocab_size=max(vocabulary.values()) + 1,
        tokenizer_sha256=sha256_of_file(work.tokenizer_file),
        splits={split: _split_record(work, split) for split in SPLITS},
        empty_documents=sum(report["empty"] for report in read_reports + token_reports),
        duplicate_documents=int(np.count_nonzero(work.splits() == DUPLICATE)),
        configuration=work.config.identity(),
    )
    with write_atomically(work.out / MANIFEST_FILE) as file:
        file.write(manifest.model_dump_json(indent=2).encode() + b"\n")
    return Corpus.open(work.out)


def _save(work: Work, tokenizer: Tokenizer) -> None:
    with write_atomically(work.tokenizer_file) as file:
        file.write(tokenizer.to_str(pretty=True).encode())


def _split_record(work: Work, split: Split) -> SplitRecord:
    shards = [
        ShardRecord.model_validate(work.read_json(f"shards/{plan.file}.json"))
        for plan in work.shard_plans()
        if plan.split == split
    ]
    counts = {
        name: sum(getattr(shard, name) for shard in shards)
        for name in ("documents", "sentences", "tokens", "unknown_tokens")
    }
    return SplitRecord(shards=tuple(shards), **counts)


def _all_counts(work: Work) -> Mapping[str, int]:
    """Sums the word counts of all pieces."""
    files = [work.file("words", f"{piece.name}.arrow") for piece in work.pieces()]
    total = None
    for start in range(0, len(files), _FILES_AT_ONCE):
        tables = [pa.table(map_batch(file)) for file in files[start : start + _FILES_AT_ONCE]]
        table = pa.concat_tables([*tables, *([total] if total is not None else [])])
        total = table.group_by("word").aggregate([("count", "sum")])
        total = total.rename_columns({"count_sum": "count"}).select(["word", "count"])
    assert total is not None
    return dict(zip(total["word"].to_pylist(), total["count"].to_pylist(), strict=True))


def _signature(file: Path) -> list[str | int]:
    status = file.stat()
    # Other than the time of modification, a program cannot set the time of the last change.
    return [str(file), status.st_size, status.st_mtime_ns, status.st_ctime_ns]


def _name(source: SourceConfig) -> str:
    if isinstance(source, MovieReviewsSource):
        return "source.format=movie_reviews"
    if isinstance(source, TextSource):
        return f"source.path={source.path} (text, with a blank line between documents)"
    return f"source.path={source.path}"


def _hint(source: SourceConfig) -> str:
    """Says what makes a document, for a source that has few of them."""
    if isinstance(source, TextSource):
        return (
            "; only a blank line ends a document, so for documents of one line each put a blank "
            "line between them, or use source=jsonl or source=csv, where each row is a document "
            "(its text in source.text_column)"
        )
    if isinstance(source, TableSource | HubSource):
        return f"; each row is a document, with its text in source.text_column={source.text_column}"
    return ""
