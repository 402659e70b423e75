"""What each means to make a step fast is worth: the step with it and without it, in turn.

    python experiments/throughput/levers.py [--only products groups …]

The loss in chunks, oneDNN's products and groups of like length are turned off in the same process.
What is set for a whole process, such as malloc, has processes of its own, in turn too.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from cases import OurPretraining, TheirPretraining, finished, pretraining_batches, size_named
from timing import ratios, seconds_in_turn
from torch.nn import functional as F  # noqa: N812

from clozekit.environment import keep_freed_memory
from clozekit.models.kernels import onednn
from clozekit.models.kernels.grouping import Grouping

FOLDER = Path(__file__).parent
SEQ_LEN, DROPOUT, BATCHES = 128, 0.1, 2
SIZES = ("tiny", "mini", "small", "base")
VARIABLES = {
    "passive": {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "0"},
    "brief": {"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "1000"},
}
"""What has to be set before torch is imported."""
PROGRAMS = {"clozekit": OurPretraining, "transformers": TheirPretraining}

Step = Callable[[], None]
Figures = tuple[str, dict[str, dict[str, float]]]
"""A lever's name, and what it is worth by the encoder's size."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--timed", nargs=3, metavar=("PROGRAM", "SIZE", "SETTING"))
    given = parser.parse_args()
    if given.timed:
        print(json.dumps(timed(*given.timed, given.repetitions)))
        return
    path = FOLDER / "levers.json"
    figures: dict[str, dict[str, Any]] = json.loads(path.read_text()) if path.exists() else {}
    for part in given.only:
        for lever, of in PARTS[part](given.repetitions):
            figures.setdefault(lever, {}).update(of)
        path.write_text(json.dumps(figures, indent=2) + "\n")


def products(repetitions: int) -> Iterator[Figures]:
    for size in SIZES:
        yield from in_one_process(size, repetitions)


def malloc(repetitions: int) -> Iterator[Figures]:
    for size in ("tiny", "small"):
        for program in PROGRAMS:
            lever = f"malloc keeps freed memory, {program}"
            yield in_processes(lever, program, size, ("default", "kept"), repetitions)


def waiting(repetitions: int) -> Iterator[Figures]:
    for size in SIZES:
        lever = "threads spin briefly before they sleep"
        yield in_processes(lever, "clozekit", size, ("passive", "brief"), repetitions)


def sharing(repetitions: int) -> Iterator[Figures]:
    """Beside a program that keeps one of the cores busy."""
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        lever = "a brief spin instead of torch's long one, beside a busy program"
        yield in_processes(lever, "clozekit", "tiny", ("default", "brief"), repetitions)
    finally:
        busy.kill()
        busy.wait()


def in_one_process(size_name: str, repetitions: int) -> Iterator[Figures]:
    steps, batches = made(OurPretraining, size_name)

    def by_mkl(batch: Any) -> Step:
        def step() -> None:
            onednn.IS_AVAILABLE = False
            steps(batch)()
            onednn.IS_AVAILABLE = True

        return step

    seconds = seconds_in_turn(
        {
            "as it is": [steps(batch) for batch in batches],
            "logits whole": [with_whole_logits(steps, batch) for batch in batches],
            "MKL": [by_mkl(batch) for batch in batches],
        },
        repetitions,
    )
    in_chunks = ratios(seconds["logits whole"], seconds["as it is"])
    yield told(size_name, "the loss of masked tokens in chunks", in_chunks)
    by_library = ratios(seconds["MKL"], seconds["as it is"])
    yield told(size_name, "oneDNN's products", by_library)


def with_whole_logits(steps: OurPretraining, batch: Any) -> Step:
    def step() -> None:
        model = steps.model
        tokens, pooled = model(batch.input_ids, batch.token_type_ids, batch.packing)
        masked = tokens.index_select(0, batch.masked_lm_positions)
        mlm = F.cross_entropy(model.masked_lm_head(masked), batch.masked_lm_labels)
        nsp = F.cross_entropy(model.next_sentence_head(pooled), batch.next_sentence_label)
        finished(mlm + nsp, steps.model, steps.optimizer)

    return step


def groups(repetitions: int) -> Iterator[Figures]:
    """At 512 tokens too, where pairs are of less equal lengths."""
    for seq_len in (SEQ_LEN, 512):
        for size in SIZES[:3]:
            steps, batches = made(OurPretraining, size, seq_len)
            seconds = seconds_in_turn(
                {
                    "one group": [in_one_group(steps, batch) for batch in batches],
                    "groups": [steps(batch) for batch in batches],
                },
                repetitions,
            )
            lever = f"attention in groups of like length, {seq_len} tokens"
            yield told(size, lever, ratios(seconds["one group"], seconds["groups"]))


def in_one_group(steps: OurPretraining, batch: Any) -> Step:
    by_length = Grouping.by_length

    def step() -> None:
        Grouping.by_length = Grouping.single_group
        steps(batch)()
        Grouping.by_length = by_length

    return step


def in_processes(
    lever: str, program: str, size: str, settings: tuple[str, str], repetitions: int
) -> Figures:
    seconds: dict[str, list[float]] = {setting: [] for setting in settings}
    for _ in range(repetitions):
        for setting, values in seconds.items():
            command = [sys.executable, __file__, "--timed", program, size, setting]
            output = subprocess.run(
                [*command, "--repetitions", "3"],
                check=True,
                capture_output=True,
                text=True,
                env={**os.environ, **VARIABLES.get(setting, {})},
            ).stdout
            values.append(json.loads(output.splitlines()[-1]))
    without, with_it = settings
    return told(size, lever, ratios(seconds[without], seconds[with_it]))


def timed(program: str, size: str, setting: str, repetitions: int) -> float:
    if setting == "kept":
        keep_freed_memory()
    steps, batches = made(PROGRAMS[program], size)
    seconds = seconds_in_turn({"": [steps(batch) for batch in batches]}, repetitions)
    return statistics.median(seconds[""])


def compiled(repetitions: int) -> Iterator[Figures]:
    """With sizes of any number, as the option does, and with a graph for each batch's sizes."""
    size = "tiny"
    (plain, batches), (dynamic, _) = made(OurPretraining, size), made(OurPretraining, size)
    static, _ = made(OurPretraining, size)
    dynamic.model.encoder.compile(dynamic=True)
    static.model.encoder.compile(dynamic=False)
    seconds = seconds_in_turn(
        {
            name: [steps(batch) for batch in batches]
            for name, steps in (("plain", plain), ("dynamic", dynamic), ("static", static))
        },
        repetitions,
        warm_up=2,
    )
    yield told(size, "compile", ratios(seconds["plain"], seconds["dynamic"]))
    yield told(size, "compile, static sizes", ratios(seconds["plain"], seconds["static"]))


def made(kind: Any, size_name: str, seq_len: int = SEQ_LEN) -> tuple[Any, list[Any]]:
    torch.manual_seed(0)
    size = size_named(size_name)
    return kind(size.encoder(DROPOUT)), pretraining_batches(size, seq_len, BATCHES)


def told(size: str, lever: str, figures: dict[str, float]) -> Figures:
    print(f"{size:<6}{lever}: {figures['median']:.2f}", flush=True)
    return lever, {size: figures}


PARTS: dict[str, Callable[[int], Iterator[Figures]]] = {
    "products": products,
    "groups": groups,
    "malloc": malloc,
    "waiting": waiting,
    "sharing": sharing,
    "compile": compiled,
}

if __name__ == "__main__":
    main()
