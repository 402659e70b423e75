"""Tokenizes documents, sorted so that each shard is a slice of the files of each group."""

from collections import Counter

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from clozekit.corpus.division import Piece
from clozekit.corpus.hold_out import (
    DUPLICATE,
    SPLIT_CODES,
    count_shards,
    most_shards,
    shard_keys,
)
from clozekit.corpus.manifest import Split
from clozekit.corpus.stages.split import splits_of
from clozekit.corpus.texts.filters import UNKNOWN_RULE, has_known_tokens
from clozekit.corpus.tokenized import TokenizedDocuments, offsets_of
from clozekit.corpus.tokenizers.special_tokens import SpecialTokens
from clozekit.corpus.tokenizers.word_cache import Encoder, first_sentences
from clozekit.corpus.work_folder import Work, write_array
from clozekit.files import write_json

_DOCUMENTS_PER_SHARD = 1_000
"""With this many documents per shard on average, no shard has fewer than two."""


def tokenize_group(work: Work, number: int) -> None:
    """Tokenizes a group into one file per split, sorted by shard key."""
    encoder = Encoder(work.tokenizer())
    pieces = [_tokenize(work, piece, encoder) for piece in work.division().groups[number]]
    documents = TokenizedDocuments.concatenate([piece[0] for piece in pieces])
    splits = np.concatenate([piece[1] for piece in pieces])
    keys = np.concatenate([piece[2] for piece in pieces])
    order = np.lexsort((keys, splits))
    report: dict[str, int] = {"empty": sum(piece[3] for piece in pieces), "unknown": 0}
    unknown = SpecialTokens.from_tokenizer(encoder.tokenizer).unk
    limit = work.config.filters.max_unknown_fraction
    if limit is not None and unknown is not None:
        order = order[has_known_tokens(documents, unknown, limit)[order]]
        report["unknown"] = len(keys) - len(order)
    documents, splits, keys = documents.take(order), splits[order], keys[order]
    for split, code in SPLIT_CODES.items():
        first, last = (int(cut) for cut in np.searchsorted(splits, [code, code + 1]))
        part = documents.part(first, last)
        report[split] = len(part.tokens)
        report[f"{split}_documents"] = last - first
        part.write(work.file("tokens", f"{number:06d}-{split}.arrow"))
        write_array(work.file("tokens", f"{number:06d}-{split}.npy"), keys[first:last])
    write_json(work.file("tokens", f"{number:06d}.json"), report)


def count_documents(work: Work, split: Split) -> int:
    """Returns the number of documents of a split that have tokens."""
    return sum(report[f"{split}_documents"] for report in _reports(work))


def count_empty(work: Work) -> int:
    """Returns the number of documents without tokens."""
    return sum(report["empty"] for report in _reports(work))


def count_unknown(work: Work) -> Counter[str]:
    """Returns the number of documents that `max_unknown_fraction` left out."""
    return Counter({UNKNOWN_RULE: sum(report["unknown"] for report in _reports(work))})


def choose_num_shards(work: Work, split: Split) -> int:
    """Returns the number of shards of a split."""
    num_documents = count_documents(work, split)
    num_tokens = sum(report[split] for report in _reports(work))
    num_shards = most_shards(num_documents, num_tokens, work.config.shard_tokens)
    if num_documents > _DOCUMENTS_PER_SHARD * num_shards:
        return num_shards
    groups = range(len(work.division().groups))
    files = [work.file("tokens", f"{number:06d}-{split}.npy") for number in groups]
    return count_shards(np.sort(np.concatenate([np.load(file) for file in files])), num_shards)


def _tokenize(
    work: Work, piece: Piece, encoder: Encoder
) -> tuple[TokenizedDocuments, NDArray[np.uint8], NDArray[np.uint64], int]:
    """Returns documents that have tokens, their splits and shard keys, and the number without."""
    splits = splits_of(work, piece)
    rows = np.flatnonzero(splits != DUPLICATE)
    batch = work.documents(piece).take(pa.array(rows))
    sentences = batch.column("sentences")
    lengths = sentences.value_lengths().to_numpy()
    tokens, sentence_offsets = encoder.encode(sentences.flatten(), first_sentences(lengths))
    document_offsets = offsets_of(lengths)
    encoded = TokenizedDocuments(batch.column("id"), tokens, sentence_offsets, document_offsets)
    documents, has_tokens = encoded.without_empty()
    keys = shard_keys(batch.column("key").to_numpy())[has_tokens]
    return documents, splits[rows][has_tokens], keys, len(rows) - len(keys)


def _reports(work: Work) -> list[dict[str, int]]:
    return [
        work.read_json(f"tokens/{number:06d}.json") for number in range(len(work.division().groups))
    ]
