"""How fast pairs are planned and masked batches are built, in one process."""

import time
from collections.abc import Callable
from itertools import islice, pairwise
from typing import Any

import torch
from cases import OurPretraining, pairs_of, size_named
from shards import SPECIAL_TOKENS, VOCAB_SIZE, drawn_shard
from timing import spread
from transformers import BertTokenizerFast, DataCollatorForLanguageModeling

from clozekit.corpus.shards import Shard
from clozekit.data.order import Position
from clozekit.data.pretraining.pairs import plan_pairs
from clozekit.data.stream import BatchShape, Phase, TrainingStream

SEQ_LEN, PAIRS, NUM_DOCUMENTS, NUM_BATCHES = 128, 64, 40_000, 50


def measure(repetitions: int) -> dict[str, Any]:
    torch.manual_seed(0)
    with drawn_shard(NUM_DOCUMENTS) as path:
        shard = Shard.open(path)
        source = pairs_of(path, SEQ_LEN)
        stream: Any = iter(TrainingStream([Phase(source, BatchShape(PAIRS, PAIRS))], 0, Position()))
        batches: list[Any] = [next(stream).micro_batches[0] for _ in range(NUM_BATCHES)]
        planning = seconds_of(lambda: plan(shard), repetitions)
        building = seconds_of(lambda: list(islice(stream, NUM_BATCHES)), repetitions)
    num_tokens = sum(batch.packing.num_tokens for batch in batches)

    rows = [{"input_ids": ids} for batch in batches for ids in sequences(batch)]
    collator = DataCollatorForLanguageModeling(reference_tokenizer())
    collating = seconds_of(
        lambda: [collator(rows[i : i + PAIRS]) for i in range(0, len(rows), PAIRS)], repetitions
    )
    steps = OurPretraining(size_named("tiny").encoder(dropout=0.1))
    training = seconds_of(lambda: [steps(batch)() for batch in batches[:4]], repetitions)
    trained = sum(batch.packing.num_tokens for batch in batches[:4])

    per_second = {
        "sentences planned": [shard.num_sentences / s for s in planning],
        "tokens built into batches": [num_tokens / s for s in building],
        "tokens masked by transformers' collator": [num_tokens / s for s in collating],
        "tokens trained on, tiny": [trained / s for s in training],
    }
    figures = {name: spread(values) for name, values in per_second.items()}
    for name, of in figures.items():
        print(f"{name} a second: {of['median']:,.0f}", flush=True)
    return figures


def plan(shard: Shard) -> object:
    return plan_pairs(
        shard.sentence_offsets,
        shard.document_offsets,
        max_seq_length=SEQ_LEN,
        short_seq_prob=0.1,
        key=(0, 0, 0),
    )


def sequences(batch: Any) -> list[list[int]]:
    ends = batch.packing.cu_seqlens.tolist()
    ids = batch.input_ids.tolist()
    return [ids[begin:end] for begin, end in pairwise(ends)]


def reference_tokenizer() -> BertTokenizerFast:
    words = [f"w{token_id}" for token_id in range(VOCAB_SIZE)]
    for name, token_id in vars(SPECIAL_TOKENS).items():
        words[token_id] = f"[{name.upper()}]"
    return BertTokenizerFast(vocab={word: place for place, word in enumerate(words)})


def seconds_of(work: Callable[[], object], repetitions: int) -> list[float]:
    times = []
    for _ in range(repetitions + 1):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return times[1:]
