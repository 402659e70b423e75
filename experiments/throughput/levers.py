"""What each means to make a step fast is worth: the step with it and without it, in turn.

    python experiments/throughput/levers.py

The loss in chunks and oneDNN's products are turned off in the same process. What is set for a whole
process, such as malloc, has processes of its own, in turn too.
"""

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from cases import OurPretraining, TheirPretraining, finished, pretraining_batches, size_named
from timing import ratios, seconds_in_turn
from torch.nn import functional as F  # noqa: N812

from clozekit.environment import prepare_for_torch
from clozekit.models import linear

FOLDER = Path(__file__).parent
SEQ_LEN, DROPOUT, BATCHES = 128, 0.1, 2
SIZES = ("tiny", "mini", "small", "base")
PROGRAMS = {"clozekit": OurPretraining, "transformers": TheirPretraining}

Step = Callable[[], None]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--timed", nargs=3, metavar=("PROGRAM", "SIZE", "SETTING"))
    given = parser.parse_args()
    if given.timed:
        print(json.dumps(timed(*given.timed, given.repetitions)))
        return
    figures: dict[str, dict[str, Any]] = {}
    for size in SIZES:
        for lever, of in in_one_process(size, given.repetitions).items():
            figures.setdefault(lever, {})[size] = of
    for size in ("tiny", "small"):
        for program in PROGRAMS:
            lever = f"malloc keeps freed memory, {program}"
            figures.setdefault(lever, {})[size] = kept_memory(program, size, given.repetitions)
    figures["compile"] = {"tiny": compiled("tiny", given.repetitions)}
    (FOLDER / "levers.json").write_text(json.dumps(figures, indent=2) + "\n")


def in_one_process(size_name: str, repetitions: int) -> dict[str, dict[str, float]]:
    steps, batches = made(OurPretraining, size_name)
    narrowest = linear.NARROWEST

    def by_mkl(batch: Any) -> Step:
        def step() -> None:
            linear.NARROWEST = sys.maxsize
            steps(batch)()
            linear.NARROWEST = narrowest

        return step

    def by_onednn(batch: Any) -> Step:
        def step() -> None:
            linear.NARROWEST = 0
            steps(batch)()
            linear.NARROWEST = narrowest

        return step

    seconds = seconds_in_turn(
        {
            "as it is": [steps(batch) for batch in batches],
            "logits whole": [with_whole_logits(steps, batch) for batch in batches],
            "MKL": [by_mkl(batch) for batch in batches],
            "oneDNN": [by_onednn(batch) for batch in batches],
        },
        repetitions,
    )
    return told(
        size_name,
        {
            "the loss of masked tokens in chunks": ratios(
                seconds["logits whole"], seconds["as it is"]
            ),
            "oneDNN's products in all blocks": ratios(seconds["MKL"], seconds["oneDNN"]),
        },
    )


def with_whole_logits(steps: OurPretraining, batch: Any) -> Step:
    def step() -> None:
        output = steps.model(
            batch.input_ids, batch.token_type_ids, batch.packing, batch.masked_lm_positions
        )
        mlm = F.cross_entropy(output.prediction_logits, batch.masked_lm_labels)
        nsp = F.cross_entropy(output.seq_relationship_logits, batch.next_sentence_label)
        finished(mlm + nsp, steps.model, steps.optimizer)

    return step


def kept_memory(program: str, size: str, repetitions: int) -> dict[str, float]:
    seconds: dict[str, list[float]] = {"default": [], "kept": []}
    for _ in range(repetitions):
        for setting, values in seconds.items():
            command = [sys.executable, __file__, "--timed", program, size, setting]
            output = subprocess.run(
                [*command, "--repetitions", "3"], check=True, capture_output=True, text=True
            ).stdout
            values.append(json.loads(output.splitlines()[-1]))
    lever = f"malloc keeps freed memory, {program}"
    return told(size, {lever: ratios(seconds["default"], seconds["kept"])})[lever]


def timed(program: str, size: str, setting: str, repetitions: int) -> float:
    if setting == "kept":
        prepare_for_torch()
    steps, batches = made(PROGRAMS[program], size)
    seconds = seconds_in_turn({"": [steps(batch) for batch in batches]}, repetitions)
    return statistics.median(seconds[""])


def compiled(size: str, repetitions: int) -> dict[str, float]:
    (plain, batches), (fast, _) = made(OurPretraining, size), made(OurPretraining, size)
    fast.model.encoder.compile(dynamic=True)
    seconds = seconds_in_turn(
        {"plain": [plain(batch) for batch in batches], "fast": [fast(batch) for batch in batches]},
        repetitions,
        warm_up=2,
    )
    return told(size, {"compile": ratios(seconds["plain"], seconds["fast"])})["compile"]


def made(kind: Any, size_name: str) -> tuple[Any, list[Any]]:
    torch.manual_seed(0)
    size = size_named(size_name)
    return kind(size.encoder(DROPOUT)), pretraining_batches(size, SEQ_LEN, BATCHES)


def told(size: str, figures: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    for lever, of in figures.items():
        print(f"{size:<6}{lever}: {of['median']:.2f}", flush=True)
    return figures


if __name__ == "__main__":
    main()
