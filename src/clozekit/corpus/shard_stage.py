"""Writes the shards of a corpus."""

import numpy as np

from clozekit.corpus.hold_out import shard_bounds
from clozekit.corpus.manifest import ShardRecord
from clozekit.corpus.tokenized import TokenizedDocuments
from clozekit.corpus.vocabulary import SpecialTokens
from clozekit.corpus.work_folder import Work
from clozekit.files import sha256_of_file, write_json


def build_shard(work: Work, number: int) -> None:
    """Assembles a shard from its slices of all groups, and records its size and checksum."""
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
        unknown_tokens=int(np.count_nonzero(documents.tokens == unknown)),
    )
    write_json(work.file("shards", f"{shard.file}.json"), record.model_dump())
