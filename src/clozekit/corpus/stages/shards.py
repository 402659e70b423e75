"""Writes the shards of a corpus."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from clozekit.corpus.hold_out import shard_bounds
from clozekit.corpus.manifest import ShardRecord, Split
from clozekit.corpus.tokenized import TokenizedDocuments
from clozekit.corpus.tokenizers.special_tokens import SpecialTokens
from clozekit.corpus.work_folder import Work
from clozekit.files import sha256_of_file, write_json


def build_shard(work: Work, number: int) -> None:
    """Assembles a shard from its slices of all groups, and records its size and checksum.

    A shard of a store is uploaded at once, so all of them never take up local disk together.
    """
    shard = work.shard_plans()[number]
    bounds = shard_bounds(shard.num_shards)[shard.number : shard.number + 2]
    parts = []
    for group in range(len(work.division().groups)):
        name = f"{group:06d}-{shard.split}"
        keys = np.load(work.file("tokens", f"{name}.npy"), mmap_mode="r")
        first, last = (int(cut) for cut in np.searchsorted(keys, bounds))
        if first < last:
            path = work.file("tokens", f"{name}.arrow")
            parts.append(TokenizedDocuments.open(path, first, last))
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
        unknown_tokens=(
            0 if unknown is None else int(np.count_nonzero(documents.tokens == unknown))
        ),
    )
    if work.is_stored:
        work.upload(shard.file)
        path.unlink(missing_ok=True)
    lone = int(np.count_nonzero(np.diff(documents.document_offsets) == 1))
    report = {"record": record.model_dump(), "lone_sentences": lone}
    write_json(work.file("shards", f"{shard.file}.json"), report)


def shard_records(work: Work, split: Split) -> tuple[ShardRecord, ...]:
    """Returns the records of a split's shards, in order."""
    return tuple(ShardRecord.model_validate(report["record"]) for report in _reports(work, split))


def count_lone_sentences(work: Work, split: Split) -> int:
    """Returns the number of a split's documents that have only one sentence."""
    return sum(report["lone_sentences"] for report in _reports(work, split))


def _reports(work: Work, split: Split) -> Iterator[dict[str, Any]]:
    for plan in work.shard_plans():
        if plan.split == split:
            yield work.read_json(f"shards/{plan.file}.json")
