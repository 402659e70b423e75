"""The tasks of each stage: reading, counting words, tokenizing, writing a shard.

A task reads the files of earlier stages from the work folder, and writes complete files there.
Their content depends only on the task's number, so any process can run or repeat a task.
"""

import numpy as np
import pyarrow as pa

from clozekit.config.prepare import WordPieceConfig
from clozekit.corpus.documents import Document
from clozekit.corpus.hold_out import DUPLICATE, SPLIT_CODES, shard_bounds, shard_keys
from clozekit.corpus.manifest import ShardRecord
from clozekit.corpus.readers import read_documents
from clozekit.corpus.sentences import hash_content, hash_text, split_sentences
from clozekit.corpus.shards import write_record_batch
from clozekit.corpus.tokenized import TokenizedDocuments, offsets_of
from clozekit.corpus.vocabulary import SpecialTokens, count_words
from clozekit.corpus.word_cache import Encoder
from clozekit.corpus.work_folder import Work
from clozekit.files import sha256_of_file, write_atomically, write_json

_PIECE_SCHEMA = pa.schema(
    {
        "id": pa.string(),
        "key": pa.uint64(),
        "content": pa.uint64(),
        "sentences": pa.list_(pa.string()),
    }
)


class _Rows:
    """Collects the documents of a piece."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.keys: list[int] = []
        self.contents: list[int] = []
        self.sentences: list[list[str]] = []
        self.size = 0

    def add(self, document: Document, sentences: list[str]) -> None:
        content = hash_content(document.text)
        self.ids.append(f"{content:016x}" if document.id is None else document.id)
        self.keys.append(content if document.id is None else hash_text(document.id))
        self.contents.append(content)
        self.sentences.append(sentences)
        self.size += len(document.text)

    def to_batch(self) -> pa.RecordBatch:
        columns = [self.ids, self.keys, self.contents, self.sentences]
        arrays = [
            pa.array(values, field.type)
            for values, field in zip(columns, _PIECE_SCHEMA, strict=True)
        ]
        return pa.record_batch(arrays, schema=_PIECE_SCHEMA)


def read_partition(work: Work, number: int) -> None:
    """Reads a partition's documents, splits them into sentences and writes them as pieces.

    A partition that cannot be split may be large. Its pieces are small nevertheless, so that the
    later stages can use all processes.
    """
    plan, source = work.plan(), work.config.source
    rows, empty = _Rows(), 0
    sizes: list[int] = []

    def write_piece() -> _Rows:
        name = f"{number:06d}-{len(sizes):06d}.arrow"
        write_record_batch(work.file("documents", name), rows.to_batch())
        sizes.append(len(rows.ids))
        return _Rows()

    for document in read_documents(source, plan.partitions[number]):
        sentences = split_sentences(document.text, source.sentences, source.language)
        if not sentences:
            empty += 1
            continue
        rows.add(document, sentences)
        if rows.size >= plan.partition_bytes:
            rows = write_piece()
    if rows.ids:
        write_piece()
    write_json(work.file("documents", f"{number:06d}.json"), {"pieces": sizes, "empty": empty})


def count_piece(work: Work, number: int) -> None:
    """Counts the words of a piece's training documents."""
    assert isinstance(work.config.tokenizer, WordPieceConfig)
    piece = work.pieces()[number]
    splits = work.splits()[piece.first_row : piece.first_row + piece.rows]
    documents = work.documents(piece).filter(pa.array(splits == SPLIT_CODES["train"]))
    counts = count_words(documents.column("sentences").flatten(), work.config.tokenizer)
    words = pa.array(counts.keys(), pa.string())
    occurrences = pa.array(counts.values(), pa.int64())
    batch = pa.record_batch({"word": words, "count": occurrences})
    write_record_batch(work.file("words", f"{piece.name}.arrow"), batch)


def tokenize_piece(work: Work, number: int) -> None:
    """Tokenizes a piece into one file per split, sorted by shard key.

    Each shard is a range of shard keys, and therefore a slice of each of these files.
    """
    piece = work.pieces()[number]
    batch = work.documents(piece)
    splits = work.splits()[piece.first_row : piece.first_row + piece.rows]
    keys = shard_keys(batch.column("key").to_numpy())
    order = np.lexsort((keys, splits))
    order = order[splits[order] != DUPLICATE]
    encoded, kept = _encode(work, batch.take(pa.array(order))).without_empty()
    splits, keys = splits[order][kept], keys[order][kept]
    report = {"empty": len(order) - len(keys)}
    for split, code in SPLIT_CODES.items():
        first, last = (int(cut) for cut in np.searchsorted(splits, [code, code + 1]))
        part = encoded.part(first, last)
        report[split] = len(part.tokens)
        part.write(work.file("tokens", f"{piece.name}-{split}.arrow"))
        with write_atomically(work.file("tokens", f"{piece.name}-{split}.npy")) as file:
            np.save(file, keys[first:last])
    write_json(work.file("tokens", f"{piece.name}.json"), report)


def build_shard(work: Work, number: int) -> None:
    """Assembles a shard from its slices of all pieces, and records its size and checksum."""
    shard = work.shard_plans()[number]
    bounds = shard_bounds(shard.num_shards)[shard.number : shard.number + 2]
    parts = []
    for piece in work.pieces():
        keys = np.load(work.file("tokens", f"{piece.name}-{shard.split}.npy"), mmap_mode="r")
        first, last = (int(cut) for cut in np.searchsorted(keys, bounds))
        if first < last:
            path = work.file("tokens", f"{piece.name}-{shard.split}.arrow")
            parts.append(TokenizedDocuments.open(path).part(first, last))
    documents = TokenizedDocuments.concatenate(parts)
    path = work.out / shard.file
    documents.write(path)
    unknown = SpecialTokens.from_tokenizer(work.tokenizer()).unk
    record = ShardRecord(
        file=shard.file,
        sha256=sha256_of_file(path),
        documents=len(documents.ids),
        sentences=len(documents.sentence_offsets) - 1,
        tokens=len(documents.tokens),
        unknown_tokens=int(np.count_nonzero(documents.tokens == unknown)),
    )
    write_json(work.file("shards", f"{shard.file}.json"), record.model_dump())


def _encode(work: Work, documents: pa.RecordBatch) -> TokenizedDocuments:
    sentences = documents.column("sentences")
    tokens, sentence_offsets = Encoder(work.tokenizer()).encode(sentences.flatten())
    document_offsets = offsets_of(sentences.value_lengths().to_numpy())
    return TokenizedDocuments(documents.column("id"), tokens, sentence_offsets, document_offsets)
