"""`clozekit prepare`: converts text to token shards."""

from collections.abc import Iterator

from rich.table import Table

from clozekit.config.prepare import ExistingTokenizerConfig, ExtendedTokenizerConfig, PrepareConfig
from clozekit.corpus.engines.progress import print_plain
from clozekit.corpus.manifest import SPLITS, Corpus, Manifest, filtered_in_words
from clozekit.corpus.output import claim_output, finished_corpus, release
from clozekit.corpus.stored_output import PreparedCorpus
from clozekit.corpus.texts.languages import check_language
from clozekit.corpus.work_folder import Work
from clozekit.output.console import PlainConsole


def prepare(config: PrepareConfig) -> Corpus | PreparedCorpus:
    """Prepares a corpus folder, or resumes an unfinished one.

    Raises:
        ConfigError: `out` contains something else, or a corpus with another configuration.
        DataError: The source or the tokenizer cannot be used.
        ExecutorError: The cluster cannot run the tasks.
    """
    # A heavy import, which is not needed to reject a folder.
    from clozekit.corpus import pipeline
    from clozekit.corpus.engines.executor import check_executor, executor_of
    from clozekit.corpus.stages.tokenizer import copy_tokenizer

    console = PlainConsole()
    if (finished := finished_corpus(config)) is not None:
        print_plain(console, f"{config.out} is already prepared; nothing to do")
        return finished
    if config.filters.language is not None:
        check_language(config.filters.language)
    check_executor(config)
    with claim_output(config) as work:
        with executor_of(work):
            pipeline.plan_reading(work)
            if isinstance(config.tokenizer, ExistingTokenizerConfig | ExtendedTokenizerConfig):
                # Before the source is read, so that a tokenizer that cannot be used is told early.
                copy_tokenizer(work, config.tokenizer)
            pipeline.record_inputs(work)
            pipeline.read_source(work)
            pipeline.split_documents(work)
            if not isinstance(config.tokenizer, ExistingTokenizerConfig):
                pipeline.train_vocabulary(work)
            pipeline.tokenize(work)
            pipeline.build_shards(work)
        corpus = pipeline.write_manifest(work)
        remarks = [
            *pipeline.read_examples(work),
            *_documents_without_pairs(work, corpus.manifest),
        ]
        release(work)
    console.print(_summary(config.out, corpus.manifest))
    for line in remarks:
        print_plain(console, line)
    return corpus


def _documents_without_pairs(work: Work, manifest: Manifest) -> Iterator[str]:
    """Yields a line for each split in which most documents have only one sentence."""
    # A heavy import, which is not needed to reject a folder.
    from clozekit.corpus.stages.shards import count_lone_sentences

    for split in SPLITS:
        total = manifest.splits[split].documents
        lone = count_lone_sentences(work, split)
        if 2 * lone > total:
            yield (
                f"{split}: {lone:,} of {total:,} documents have only one sentence, and give no "
                "sentence pairs for task=pretraining; source.sentences=split finds sentences "
                "within lines, and task=masked_lm data=masked_lm needs no pairs"
            )


def _summary(out: str, manifest: Manifest) -> Table:
    table = Table(title=f"{out}: {manifest.vocab_size:,} tokens in the vocabulary")
    for column in ("split", "documents", "sentences", "tokens", "[UNK]", "shards"):
        table.add_column(column, justify="left" if column == "split" else "right")
    for split in SPLITS:
        counts = manifest.splits[split]
        table.add_row(
            split,
            f"{counts.documents:,}",
            f"{counts.sentences:,}",
            f"{counts.tokens:,}",
            f"{counts.unknown_tokens / max(counts.tokens, 1):.3%}",
            f"{len(counts.shards):,}",
        )
    table.caption = _skipped(manifest)
    return table


def _skipped(manifest: Manifest) -> str:
    skipped = (
        f"skipped: {manifest.empty_documents:,} empty and "
        f"{manifest.duplicate_documents:,} duplicate documents"
    )
    if manifest.near_duplicate_documents:
        skipped += f", {manifest.near_duplicate_documents:,} near-duplicates"
    if manifest.filtered_documents:
        skipped += f"; filtered: {filtered_in_words(manifest.filtered_documents)}"
    return skipped
