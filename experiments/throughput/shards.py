"""A shard of random words with the sentence lengths of English prose: speed depends on lengths."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from clozekit.corpus.shards import write_shard
from clozekit.corpus.tokenizers.special_tokens import SpecialTokens
from clozekit.data.sequence_format import SequenceFormat

VOCAB_SIZE = 30_522
SPECIAL_TOKENS = SpecialTokens(pad=0, unk=1, cls=2, sep=3, mask=4)
SPECIAL = SequenceFormat.of_bert(cls_id=2, sep_id=3)


@contextmanager
def drawn_shard(num_documents: int = 2_000, vocab_size: int = VOCAB_SIZE) -> Iterator[Path]:
    generator = np.random.default_rng(0)
    sentences = generator.geometric(1 / 13, num_documents)
    lengths = generator.lognormal(np.log(20), 0.6, sentences.sum()).astype(int) + 1
    tokens = generator.integers(5, vocab_size, lengths.sum()).astype(np.uint16)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "train-00000.arrow"
        write_shard(
            path,
            [str(number) for number in range(num_documents)],
            tokens,
            np.append(0, np.cumsum(lengths)),
            np.append(0, np.cumsum(sentences)),
        )
        yield path
