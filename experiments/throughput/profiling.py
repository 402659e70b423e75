"""Where a step's time goes, in clozekit and in transformers.

    python experiments/throughput/profiling.py --corpus data/throughput --sizes tiny base

Operations are told apart by the module that called them, backward's by the forward operation that
they belong to. Beside their sum stands what a step takes without the profiler, and what a step of
the real command takes, `clozekit train` with Lightning, its callbacks and the data.
"""

import argparse
import csv
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cases import MAX_NORM, OurPretraining, TheirPretraining, size_named
from finetuning import SHAPES, OurFineTuning, TheirFineTuning, encoded
from labels import (
    ATTENTION,
    COMMAND,
    DATA,
    EMBEDDING,
    FEED_FORWARD,
    HEADS,
    OPTIMIZER,
    PARTS,
    PLAIN,
    REST_OF_BLOCK,
)
from torch import nn
from torch.profiler import ProfilerActivity, profile, record_function

from clozekit.data.order import Span
from clozekit.data.pretraining.pair_datamodule import PretrainingDataModule

FOLDER = Path(__file__).parent
PREFIX = "part:"
STEPS, DROPOUT = 6, 0.1
FINE_TUNING = "fine-tuning"

Columns = dict[str, dict[str, float]]
"""Milliseconds by program and part."""

OURS = {
    "Embeddings": EMBEDDING,
    "SelfAttention": ATTENTION,
    "FeedForward": FEED_FORWARD,
    "Block": REST_OF_BLOCK,
}
THEIRS = {
    "BertEmbeddings": EMBEDDING,
    "BertSelfAttention": ATTENTION,
    "BertIntermediate": FEED_FORWARD,
    "BertSelfOutput": REST_OF_BLOCK,
    "BertOutput": REST_OF_BLOCK,
    "BertLayer": REST_OF_BLOCK,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--corpus", default="data/throughput")
    parser.add_argument("--sizes", nargs="*", default=["tiny", "base"])
    given = parser.parse_args()
    path = FOLDER / "profile.json"
    tables = json.loads(path.read_text()) if path.exists() else {}
    for size in given.sizes:
        tables.setdefault(size, {}).update(pretraining_table(size, given.corpus))
    tables.setdefault(FINE_TUNING, {}).update(fine_tuning_table())
    path.write_text(json.dumps(tables, indent=2) + "\n")


def pretraining_table(size: str, corpus: str) -> Columns:
    """Gives of both programs the milliseconds of a step by part."""
    torch.manual_seed(0)
    pairs = size_named(size).pairs[128]
    data = PretrainingDataModule(
        path=corpus, seed=0, global_batch_size=pairs, micro_batch_size=pairs, max_seq_length=128
    )
    stream = (step.micro_batches[0] for step in data.train_dataloader())
    batches: list[Any] = list(islice(stream, STEPS))
    config = size_named(size).encoder(DROPOUT)
    config = config.model_copy(update={"vocab_size": data.vocab_size})
    columns = of_programs(OurPretraining(config), TheirPretraining(config), batches)
    ours = columns["clozekit"]
    ours[DATA] = 1e3 * statistics.median(seconds_of(lambda: next(stream)) for _ in range(20))
    num_tokens = statistics.mean(batch.packing.num_tokens for batch in batches)
    ours[COMMAND] = 1e3 * num_tokens / tokens_per_second(size, corpus, pairs)
    report(size, columns)
    return columns


def fine_tuning_table() -> Columns:
    """Does the same of fine-tuning on sentences, whose data are encoded before the first step."""
    number, batch_size, max_seq_length = SHAPES["sentences"]
    rows = encoded("sentences", number, max_seq_length)
    batches = [
        rows.build([Span(0, 0, samples)], is_training=False)
        for samples in np.arange(STEPS * batch_size).reshape(STEPS, batch_size)
    ]
    columns = of_programs(OurFineTuning(DROPOUT), TheirFineTuning(DROPOUT), batches)
    report(FINE_TUNING, columns)
    return columns


def of_programs(ours: Any, theirs: Any, batches: list[Any]) -> Columns:
    columns = {}
    for name, steps, names in (("clozekit", ours, OURS), ("transformers", theirs, THEIRS)):
        label_parts(steps.model, names)
        columns[name] = milliseconds(steps, batches)
    return columns


def report(case: str, columns: Columns) -> None:
    for part in (*PARTS, PLAIN, DATA, COMMAND):
        told = "  ".join(f"{name} {of.get(part, 0):9.1f} ms" for name, of in columns.items())
        print(f"{case:<12}{part:<28}{told}", flush=True)


def label_parts(model: nn.Module, names: dict[str, str]) -> None:
    for name, module in model.named_modules():
        part = names.get(type(module).__name__)
        if name.endswith("attention.output.dense"):
            part = ATTENTION
        elif name.endswith("output.dense"):
            part = FEED_FORWARD
        if part is not None:
            label(module, PREFIX + part)


def label(module: nn.Module, name: str) -> None:
    entered: list[Any] = []

    def enter(*_: object) -> None:
        scope = record_function(name)
        scope.__enter__()
        entered.append(scope)

    def leave(*_: object) -> None:
        entered.pop().__exit__(None, None, None)

    module.register_forward_pre_hook(enter)
    module.register_forward_hook(leave)


def milliseconds(steps: Any, batches: list[Any]) -> dict[str, float]:
    def step(batch: Any) -> None:
        with record_function(PREFIX + HEADS):
            loss = steps.loss(batch)
        loss.backward()
        with record_function(PREFIX + OPTIMIZER):
            nn.utils.clip_grad_norm_(steps.model.parameters(), MAX_NORM)
            steps.optimizer.step()
            steps.optimizer.zero_grad()

    step(batches[0])
    plain = statistics.median(seconds_of(lambda b=batch: step(b)) for batch in batches)
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        for batch in batches:
            step(batch)
    parts = {part: of / len(batches) / 1e3 for part, of in microseconds(profiler.events()).items()}
    return {**parts, PLAIN: 1e3 * plain}


def microseconds(events: Any) -> dict[str, float]:
    """Sums the operations' own time by part."""
    totals: dict[str, float] = defaultdict(float)
    part_of_node: dict[int, str] = {}
    in_order = sorted(events, key=lambda event: event.time_range.start)
    for event in in_order:
        part = next((name for name in scopes(event)), None)
        if part is not None and not is_backward(event) and event.sequence_nr >= 0:
            part_of_node[event.sequence_nr] = part
    for event in in_order:
        if event.name.startswith(PREFIX):
            continue
        node = next((e for e in ancestors(event) if is_backward(e)), None)
        if node is not None:
            part = part_of_node.get(node.sequence_nr, OPTIMIZER)
        else:
            part = next(scopes(event), OPTIMIZER)
        totals[part] += event.self_cpu_time_total
    return totals


def is_backward(event: Any) -> bool:
    return bool(event.name.startswith("autograd::engine::evaluate_function"))


def ancestors(event: Any) -> Iterator[Any]:
    while event is not None:
        yield event
        event = event.cpu_parent


def scopes(event: Any) -> Iterator[str]:
    """Names the parts that an event lies in, the innermost first."""
    for outer in ancestors(event):
        if outer.name.startswith(PREFIX):
            yield outer.name.removeprefix(PREFIX)


def seconds_of(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def tokens_per_second(size: str, corpus: str, pairs: int) -> float:
    """Runs the real command until its last step; leaves its first rows out."""
    max_steps = 20 if size == "base" else 60
    with tempfile.TemporaryDirectory() as runs:
        overrides = [
            "name=profile",
            f"runs_dir={runs}",
            f"data.path={corpus}",
            f"encoder={size}",
            f"global_batch_size={pairs}",
            f"micro_batch_size={pairs}",
            f"max_steps={max_steps}",
            "trainer.log_every_n_steps=5",
            "logger=csv",
        ]
        command = [sys.executable, "-m", "clozekit", "train", *overrides]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        metrics = Path(runs) / "profile" / "metrics.csv"
        rates = rates_of_steps(metrics)
        while max_steps not in rates:
            if process.poll() is not None:
                _, error = process.communicate()
                raise RuntimeError(f"clozekit train ended early: {error.decode()}")
            time.sleep(0.5)
            rates = rates_of_steps(metrics)
        # What is left is its validation, of all held-out text.
        process.kill()
        process.communicate()
    return statistics.median(list(rates.values())[1:])


def rates_of_steps(metrics: Path) -> dict[int, float]:
    if not metrics.exists():
        return {}
    with metrics.open(newline="") as file:
        column = "train/tokens_per_second"
        return {int(row["step"]): float(row[column]) for row in csv.DictReader(file) if row[column]}


if __name__ == "__main__":
    main()
