"""`clozekit prepare`: converts text to token shards."""

import shutil
from collections.abc import Iterator
from pathlib import Path

from rich.table import Table

from clozekit.config.prepare import ExistingTokenizerConfig, PrepareConfig, WordPieceConfig
from clozekit.console import PlainConsole
from clozekit.corpus.manifest import SPLITS, Corpus
from clozekit.corpus.output import claim_output, finished_corpus
from clozekit.corpus.progress import print_plain


def prepare(config: PrepareConfig) -> Corpus:
    """Prepares a corpus folder, or resumes an unfinished one.

    Raises:
        ConfigError: `out` contains something else, or a corpus with another configuration.
        DataError: The source or the tokenizer cannot be used.
        ExecutorError: The cluster cannot run the tasks.
    """
    # A heavy import, which is not needed to reject a folder.
    from clozekit.corpus import pipeline
    from clozekit.corpus.executor import check_executor, executor_of

    console = PlainConsole()
    if (finished := finished_corpus(config)) is not None:
        print_plain(console, f"{config.out} is already prepared; nothing to do")
        return finished
    check_executor(config)
    with claim_output(config) as work:
        with executor_of(work):
            pipeline.plan_reading(work)
            if isinstance(config.tokenizer, ExistingTokenizerConfig):
                pipeline.copy_tokenizer(work, config.tokenizer)
            pipeline.read_source(work)
            pipeline.split_documents(work)
            if isinstance(config.tokenizer, WordPieceConfig):
                pipeline.train_vocabulary(work, config.tokenizer)
            pipeline.tokenize(work)
            pipeline.build_shards(work)
        corpus = pipeline.write_manifest(work)
        shutil.rmtree(work.folder)
    console.print(_summary(config.out, corpus))
    for line in _documents_without_pairs(corpus):
        print_plain(console, line)
    return corpus


def _documents_without_pairs(corpus: Corpus) -> Iterator[str]:
    """Yields a line for each split in which most documents have only one sentence."""
    for split in SPLITS:
        total = corpus.manifest.splits[split].documents
        lone = sum(_count_lone_sentences(path) for path in corpus.shards(split))
        if 2 * lone > total:
            yield (
                f"{split}: {lone:,} of {total:,} documents have only one sentence, and give no "
                "sentence pairs for task=pretraining; source.sentences=split finds sentences "
                "within lines, and task=masked_lm data=masked_lm needs no pairs"
            )


def _count_lone_sentences(path: Path) -> int:
    # A heavy import, which is not needed to reject a folder.
    from clozekit.corpus.shards import Shard

    return Shard.open(path).num_lone_sentences


def _summary(out: str, corpus: Corpus) -> Table:
    manifest = corpus.manifest
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
    table.caption = (
        f"skipped: {manifest.empty_documents:,} empty and "
        f"{manifest.duplicate_documents:,} duplicate documents"
    )
    return table
