"""The stages of `clozekit prepare`. Each resumes where an interrupted run stopped.

The tasks of a stage run on all workers. What runs between the stages only adds up their reports.
"""

from collections.abc import Mapping

from clozekit.config.dedup import NearDedup, NoDedup
from clozekit.config.prepare import (
    HubSource,
    MovieReviewsSource,
    SourceConfig,
    TableSource,
    TextSource,
)
from clozekit.corpus.division import SMALLEST_PARTITION, divide
from clozekit.corpus.engines.executor import run_tasks
from clozekit.corpus.engines.progress import print_plain
from clozekit.corpus.hold_out import MIN_DOCUMENTS
from clozekit.corpus.inputs import records_of, signatures_of_tokenizer
from clozekit.corpus.manifest import (
    FORMAT_VERSION,
    MANIFEST_FILE,
    SPLITS,
    TOKENIZER_FILE,
    Corpus,
    InputRecord,
    Manifest,
    Split,
    SplitRecord,
    filtered_in_words,
)
from clozekit.corpus.output import erase, remove_other_shards
from clozekit.corpus.sources.readers import plan_partitions
from clozekit.corpus.stages.cut import cut_file, partitions_to_read
from clozekit.corpus.stages.near_duplicates import (
    find_near_duplicates,
    near_examples,
    remove_signatures,
    sign_group,
)
from clozekit.corpus.stages.read import count_filtered, number_pieces, read_partition
from clozekit.corpus.stages.shards import build_shard, shard_records
from clozekit.corpus.stages.split import (
    count_duplicates,
    count_kept,
    find_duplicates,
    mark_documents,
)
from clozekit.corpus.stages.tokenizer import (
    save_tokenizer,
    train_from,
)
from clozekit.corpus.stages.tokens import (
    choose_num_shards,
    count_documents,
    count_empty,
    count_unknown,
    tokenize_group,
)
from clozekit.corpus.stages.words import (
    add_counts,
    all_counts,
    count_group,
    count_occurrences,
)
from clozekit.corpus.stored_output import PreparedCorpus
from clozekit.corpus.work_folder import PLAN_FILE, Plan, ShardPlan, Work
from clozekit.errors import DataError
from clozekit.files import sha256_of_file, write_atomically
from clozekit.output.console import PlainConsole

PARTITION_BYTES = SMALLEST_PARTITION
_NO_TEXT = " does not contain any text"
_EXAMPLES_FILE = "near_examples.json"
_INPUTS_FILE = "inputs.json"
_EXAMPLES = 10
_EXAMPLE_LENGTH = 100


def plan_reading(work: Work) -> None:
    """Splits the source into partitions; discards earlier results if the input files changed."""
    source = plan_partitions(work.config.source, PARTITION_BYTES, work.folder)
    if not source.partitions:
        raise DataError(f"{_name(work.config.source)}{_NO_TEXT}")
    inputs = [*source.inputs, *signatures_of_tokenizer(work.config.tokenizer)]
    plan = Plan(source.partitions, source.partition_bytes, inputs).to_json()
    if (work.folder / PLAN_FILE).exists() and work.read_json(PLAN_FILE) != plan:
        erase(work)
        plan_partitions(work.config.source, PARTITION_BYTES, work.folder)
    work.write_json(PLAN_FILE, plan)


def record_inputs(work: Work) -> None:
    """Notes what identifies the source and the tokenizer, for the manifest."""
    saved = work.read_json(_INPUTS_FILE) if (work.folder / _INPUTS_FILE).exists() else {}
    known = {name: InputRecord(**record) for name, record in saved.items()}
    records = records_of(work.config, known)
    work.write_json(_INPUTS_FILE, {name: r.model_dump() for name, r in records.items()})


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
                f"{partition.path} is read by one worker, because a compressed or CSV file cannot "
                "be read from the middle; several smaller files are read by several",
            )
    run_tasks("cut", cut_file, work, len(large))
    work.write_json("partitions.json", partitions_to_read(work))
    run_tasks("read", read_partition, work, len(work.partitions()))
    pieces = number_pieces(work)
    if not pieces:
        raise DataError(f"{_name(work.config.source)}{_NO_TEXT}{_dropped(count_filtered(work))}")
    work.write_json("division.json", divide(pieces, work.plan().partition_bytes))
    for file in work.file("cut", "x").parent.glob("*.arrow"):
        file.unlink()


def split_documents(work: Work) -> None:
    """Finds duplicate documents, and holds out documents for validation.

    Raises:
        DataError: There are fewer than four distinct documents.
    """
    dedup, division = work.config.dedup, work.division()
    if not isinstance(dedup, NoDedup):
        run_tasks("find duplicates", find_duplicates, work, division.num_ranges)
    # A resumed run may not have the documents any more that the examples are taken from.
    if isinstance(dedup, NearDedup) and not (work.folder / _EXAMPLES_FILE).exists():
        run_tasks("compute signatures", sign_group, work, len(division.groups))
        num_tasks = dedup.num_buckets * division.num_ranges
        run_tasks("find near-duplicates", find_near_duplicates, work, num_tasks)
        work.write_json(_EXAMPLES_FILE, near_examples(work, _EXAMPLES, _EXAMPLE_LENGTH))
        remove_signatures(work)
    run_tasks("split", mark_documents, work, len(division.groups))
    counts, source = count_kept(work), work.config.source
    if counts.documents < MIN_DOCUMENTS * len(SPLITS):
        raise DataError(
            f"{_name(source)} has only {counts.documents} distinct documents with text; at least "
            f"{MIN_DOCUMENTS * len(SPLITS)} are required, two for training and two for validation"
            f"{_dropped(count_filtered(work))}{_hint(source)}"
        )
    work.write_json("hold_out.json", counts.bound(work.config.validation_fraction))


def train_vocabulary(work: Work) -> None:
    """Trains or extends the vocabulary on the training documents."""
    run_tasks("count words", count_group, work, len(work.division().groups))
    work.write_json("occurrences.json", count_occurrences(work))
    run_tasks("add counts", add_counts, work, work.division().num_buckets)
    if not work.tokenizer_file.exists():
        save_tokenizer(train_from(all_counts(work), work), work.tokenizer_file)


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
                f"{_dropped(count_filtered(work) + count_unknown(work))}"
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
    remove_other_shards(work, keep=tuple(plan.file for plan in plans))


def read_examples(work: Work) -> list[str]:
    """Returns the lines that show examples of near-duplicates."""
    if not isinstance(work.config.dedup, NearDedup):
        return []
    lines: list[str] = []
    for dropped, earlier, text, earlier_text in work.read_json(_EXAMPLES_FILE):
        lines += [f"{dropped} was dropped, because it is similar to {earlier}:"]
        lines += [f"  {text}", f"  {earlier_text}"]
    return lines


def write_manifest(work: Work) -> Corpus | PreparedCorpus:
    """Writes the manifest, which completes the corpus."""
    num_partitions = len(work.partitions())
    reports = [work.read_json(f"documents/{number:06d}.json") for number in range(num_partitions)]
    num_documents = sum(piece.rows for piece in work.division().pieces)
    duplicates = count_duplicates(work)
    manifest = Manifest(
        format_version=FORMAT_VERSION,
        vocab_size=max(work.tokenizer().get_vocab().values()) + 1,
        tokenizer_sha256=sha256_of_file(work.tokenizer_file),
        splits={split: _split_record(work, split) for split in SPLITS},
        empty_documents=sum(report["empty"] for report in reports) + count_empty(work),
        duplicate_documents=duplicates,
        near_duplicate_documents=num_documents - count_kept(work).documents - duplicates,
        filtered_documents=count_filtered(work) + count_unknown(work),
        configuration=work.config.identity(),
        inputs=work.read_json(_INPUTS_FILE),
    )
    with write_atomically(work.out / MANIFEST_FILE) as file:
        file.write(manifest.to_json().encode() + b"\n")
    if not work.is_stored:
        return Corpus.open(work.out)
    work.upload(TOKENIZER_FILE)
    work.check_uploaded(TOKENIZER_FILE, *(plan.file for plan in work.shard_plans()))
    work.upload(MANIFEST_FILE)
    return PreparedCorpus(work.config.out, manifest)


def _split_record(work: Work, split: Split) -> SplitRecord:
    shards = shard_records(work, split)
    counts = {
        name: sum(getattr(shard, name) for shard in shards)
        for name in ("documents", "sentences", "tokens", "unknown_tokens")
    }
    return SplitRecord(shards=shards, **counts)


def _name(source: SourceConfig) -> str:
    if isinstance(source, MovieReviewsSource):
        return "source.format=movie_reviews"
    if isinstance(source, TextSource):
        return f"source.path={source.path} (text, with a blank line between documents)"
    return f"source.path={source.path}"


def _dropped(filtered: Mapping[str, int]) -> str:
    return f"; filters drop {filtered_in_words(filtered)}" if filtered else ""


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
