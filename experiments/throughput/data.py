"""How fast the data is made, beside how fast it is trained on.

    python experiments/throughput/data.py [CORPUS]

Without a corpus it draws a shard of random words with the sentence lengths of English prose; speed
depends on lengths alone. Everything runs in one process; medians over repetitions are printed.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F  # noqa: N812

from clozekit.config.encoder import EncoderConfig
from clozekit.corpus.manifest import Corpus
from clozekit.corpus.shards import Shard, write_shard
from clozekit.corpus.vocabulary import SpecialTokens
from clozekit.data.batch import PretrainingBatch
from clozekit.data.masking import MaskingRule
from clozekit.data.order import Position
from clozekit.data.pairs import plan_pairs
from clozekit.data.samples import PairRule, PretrainingSource
from clozekit.data.stream import BatchShape, Phase, TrainingStream
from clozekit.models import PretrainingModel

VOCAB_SIZE = 8192
SEQ_LEN = 128
BATCH_SIZE = 64
REPETITIONS = 7


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("corpus", nargs="?", type=Path)
    parser.add_argument("--json", type=Path, help="also write the figures here")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        shard = shard_of(arguments.corpus, Path(folder))
        figures = measure(shard)
    for name, value in figures.items():
        print(f"{name:<40}{value:>14,.4g}" if value < 1 else f"{name:<40}{value:>14,.0f}")
    if arguments.json:
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


def measure(path: Path) -> dict[str, float]:
    shard = Shard.open(path)
    figures = {"sentences planned a second": shard.num_sentences / seconds_of(lambda: plan(shard))}

    phase = Phase(source_of(path), BatchShape(BATCH_SIZE, BATCH_SIZE))
    batches = TrainingStream([phase], 0, Position())
    stream = iter(batches)
    built: list[PretrainingBatch] = []
    next(stream)
    seconds = seconds_of(lambda: built.extend(islice(stream, 50)))
    num_tokens = sum(batch.packing.num_tokens for batch in built) / REPETITIONS
    seconds_to_build = seconds / 50
    figures["tokens built into batches a second"] = num_tokens / seconds

    step = training_step()
    ready = built[:10]
    for batch in ready[:3]:
        step(batch)
    seconds = seconds_of(lambda: [step(batch) for batch in ready])
    figures["tokens trained on a second, BERT-tiny"] = (
        sum(batch.packing.num_tokens for batch in ready) / seconds
    )
    figures["the loader's share of a step"] = seconds_to_build / (
        seconds_to_build + seconds / len(ready)
    )
    figures["threads"] = torch.get_num_threads()
    return figures


def seconds_of(work: Callable[[], object]) -> float:
    times = []
    for _ in range(REPETITIONS):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return statistics.median(times)


def plan(shard: Shard) -> object:
    return plan_pairs(
        shard.sentence_offsets,
        shard.document_offsets,
        max_seq_length=SEQ_LEN,
        short_seq_prob=0.1,
        key=(0, 0, 0),
    )


def source_of(path: Path) -> PretrainingSource:
    special_tokens = SpecialTokens(pad=0, unk=1, cls=2, sep=3, mask=4)
    return PretrainingSource(
        [path],
        PairRule(SEQ_LEN, short_seq_prob=0.1),
        MaskingRule(mask_token_id=4, replacement_ids=np.arange(5, VOCAB_SIZE)),
        special_tokens,
        seed=0,
    )


def training_step() -> Callable[[PretrainingBatch], None]:
    torch.manual_seed(0)
    config = EncoderConfig(
        vocab_size=VOCAB_SIZE,
        hidden_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=512,
    )
    model = PretrainingModel(config)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)

    def step(batch: PretrainingBatch) -> None:
        output = model(
            batch.input_ids, batch.token_type_ids, batch.packing, batch.masked_lm_positions
        )
        mlm = F.cross_entropy(output.prediction_logits, batch.masked_lm_labels)
        nsp = F.cross_entropy(output.seq_relationship_logits, batch.next_sentence_label)
        (mlm + nsp).backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def shard_of(corpus: Path | None, folder: Path) -> Path:
    if corpus is not None:
        return Corpus.open(corpus).shards("train")[0]
    generator = np.random.default_rng(0)
    sentences = generator.geometric(1 / 13, 40_000)
    lengths = generator.lognormal(np.log(20), 0.6, sentences.sum()).astype(int) + 1
    tokens = generator.integers(5, VOCAB_SIZE, lengths.sum()).astype(np.uint16)
    path = folder / "train-00000.arrow"
    ids = [str(number) for number in range(len(sentences))]
    write_shard(
        path, ids, tokens, np.append(0, np.cumsum(lengths)), np.append(0, np.cumsum(sentences))
    )
    return path


if __name__ == "__main__":
    main()
