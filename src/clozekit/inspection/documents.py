"""The documents of prepared corpora, as they stand in their shards."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from clozekit.corpus.manifest import Split
from clozekit.corpus.shards import Shard
from clozekit.data.pretraining.corpus_datamodule import CorpusDataModule
from clozekit.data.pretraining.planned_source import PlannedSource
from clozekit.inspection.shown import Part, ShownExample, ShownText, histogram, share
from clozekit.inspection.vocabulary import Vocabulary

MOST_DOCUMENTS = 20_000
"""The most documents of a shard that are compared with each other."""

MOST_SENTENCES = 12
"""The most sentences of a document that are shown."""


def document_parts(datamodule: CorpusDataModule, split: Split, number: int) -> Iterator[Part]:
    """Yields a part for each source: what its manifest counts, and the documents of a shard.

    Args:
        datamodule: The DataModule.
        split: The split.
        number: The number of documents to show.
    """
    vocabulary = Vocabulary(datamodule.tokenizer)
    source = datamodule.sources[split]
    assert isinstance(source, PlannedSource)
    ranges = datamodule.corpora.ranges(split)
    for index, shards in enumerate(ranges):
        corpus = datamodule.corpora.all[index]
        counts = corpus.manifest.splits[split]
        name = datamodule.source_names[index] if datamodule.source_names else ""
        part = Part(f"Documents of {name}" if name else "Documents")
        part.facts = {
            "corpus": corpus.place,
            split: f"{counts.documents:,} documents, {counts.sentences:,} sentences, "
            f"{counts.tokens:,} tokens in {len(shards):,} shard{'s' * (len(shards) != 1)}",
            "unknown tokens": share(counts.unknown_tokens, counts.tokens),
        }
        if len(shards):
            shard, _ = source.planned(0, shards[0])
            _describe(part, shard, vocabulary, number)
        yield part


def _describe(part: Part, shard: Shard, vocabulary: Vocabulary, number: int) -> None:
    num_documents = min(shard.num_documents, MOST_DOCUMENTS)
    begins = shard.sentence_offsets[shard.document_offsets[: num_documents + 1]]
    part.facts["looked at"] = (
        f"the first {num_documents:,} of {shard.num_documents:,} documents of one shard, which is "
        "a random part of the corpus"
    )
    contents = {shard.tokens[begin:end].tobytes() for begin, end in pairwise(begins)}
    duplicates = num_documents - len(contents)
    part.facts["duplicates"] = f"{duplicates:,} documents with the tokens of another one"
    part.histograms.append(histogram("tokens per document", np.diff(begins).astype(np.int64)))
    for document in range(min(number, num_documents)):
        part.examples.append(_example(shard, document, vocabulary))


def _example(shard: Shard, document: int, vocabulary: Vocabulary) -> ShownExample:
    first, last = shard.document_offsets[document : document + 2].tolist()
    bounds = shard.sentence_offsets[first : min(last, first + MOST_SENTENCES) + 1].tolist()
    texts = [
        ShownText(f"sentence {place + 1}", vocabulary.text(shard.tokens[begin:end].tolist()))
        for place, (begin, end) in enumerate(pairwise(bounds))
    ]
    if last - first > MOST_SENTENCES:
        texts.append(ShownText("…", f"{last - first - MOST_SENTENCES:,} more sentences"))
    num_tokens = int(shard.sentence_offsets[last] - shard.sentence_offsets[first])
    hint = f"{last - first:,} sentences, {num_tokens:,} tokens"
    return ShownExample(f"document {shard.id_array[document].as_py()}", hint, tuple(texts))
