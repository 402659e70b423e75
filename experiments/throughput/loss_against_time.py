"""Held-out MLM loss against training time, for clozekit and for transformers side by side.

    clozekit prepare source=movie_reviews out=data/throughput tokenizer.vocab_size=8192
    python experiments/throughput/loss_against_time.py --minutes 10 --sizes tiny mini

Both read the same batches of the same corpus in the same order, with the same optimizer, warmup and
constant learning rate; each has one thread and a core of its own, and both run at the same time.
Building batches counts as training time, judging held-out batches does not.
"""

import argparse
import json
import multiprocessing
import os
import time
from itertools import islice
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import torch
from cases import OurPretraining, TheirPretraining, size_named

from clozekit.data.batch import PretrainingBatch
from clozekit.data.pretraining.pair_datamodule import PretrainingDataModule

PROGRAMS = {"clozekit": OurPretraining, "transformers": TheirPretraining}
FOLDER = Path(__file__).parent
PAIRS, SEQ_LEN = 64, 128
LEARNING_RATE, WARMUP_STEPS = 1e-3, 200
HELD_OUT_BATCHES = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--corpus", default="data/throughput")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--every", type=float, default=60, help="seconds between judgements")
    parser.add_argument("--sizes", nargs="+", default=["tiny", "mini"])
    given = parser.parse_args()
    path = FOLDER / "loss_against_time.json"
    curves = json.loads(path.read_text()) if path.exists() else {}
    curves |= {size: side_by_side(size, given) for size in given.sizes}
    path.write_text(json.dumps(curves, indent=1) + "\n")
    plot(curves, FOLDER / "loss_against_time.png")


def side_by_side(size: str, given: argparse.Namespace) -> dict[str, list[dict[str, float]]]:
    context = multiprocessing.get_context("spawn")
    cores = sorted(os.sched_getaffinity(0))
    with context.Pool(len(PROGRAMS)) as pool:
        jobs = {
            name: pool.apply_async(
                train, (name, size, given.corpus, given.minutes * 60, given.every, core)
            )
            for name, core in zip(PROGRAMS, cores, strict=False)
        }
        return {name: job.get() for name, job in jobs.items()}


def train(
    program: str, size: str, corpus: str, limit: float, every: float, core: int
) -> list[dict[str, float]]:
    os.sched_setaffinity(0, {core})
    torch.set_num_threads(1)
    torch.manual_seed(0)
    data = PretrainingDataModule(
        path=corpus, seed=0, global_batch_size=PAIRS, micro_batch_size=PAIRS, max_seq_length=SEQ_LEN
    )
    config = size_named(size).encoder(dropout=0.1)
    config = config.model_copy(update={"vocab_size": data.vocab_size})
    steps: Any = PROGRAMS[program](config, LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        steps.optimizer, lambda step: min(1.0, (step + 1) / WARMUP_STEPS)
    )
    held_out = [one.batch for one in islice(data.val_dataloader(), HELD_OUT_BATCHES)]
    curve: list[dict[str, float]] = []
    seconds, tokens, due = 0.0, 0, 0.0
    stream = (step.micro_batches[0] for step in data.train_dataloader())
    while True:
        if seconds >= due or seconds >= limit:
            loss = judged(steps, held_out)
            curve.append({"seconds": seconds, "step": schedule.last_epoch, "mlm_loss": loss,
                          "tokens": tokens})  # fmt: skip
            print(f"{size} {program}: {curve[-1]}", flush=True)
            due += every
        if seconds >= limit:
            return curve
        began = time.perf_counter()
        batch: Any = next(stream)
        steps(batch)()
        schedule.step()
        seconds += time.perf_counter() - began
        tokens += batch.packing.num_tokens


@torch.inference_mode()
def judged(steps: Any, batches: list[PretrainingBatch]) -> float:
    steps.model.eval()
    total = sum(steps.masked_lm_loss_sum(batch) for batch in batches)
    steps.model.train()
    return total / sum(len(batch.masked_lm_labels) for batch in batches)


def plot(curves: dict[str, Any], path: Path) -> None:
    figure, _ = plt.subplots(
        1, len(curves), figsize=(4.6 * len(curves), 3.6), sharey=True, layout="constrained"
    )
    for axis, (size, of_size) in zip(figure.axes, curves.items(), strict=True):
        for name, curve in of_size.items():
            minutes = [point["seconds"] / 60 for point in curve]
            axis.plot(minutes, [point["mlm_loss"] for point in curve], label=name)
        axis.set_title(size)
        axis.set_xlabel("minutes of training, one core each")
        axis.legend()
    figure.axes[0].set_ylabel("held-out MLM loss")
    figure.savefig(path, dpi=120)
    plt.close(figure)


if __name__ == "__main__":
    main()
