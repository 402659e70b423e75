"""How fast is clozekit beside transformers at its best settings, and what does the machine allow?

    python experiments/throughput/measure.py [--parts pretraining fine_tuning …]

Both take turns, step by step, in one process with the same threads: run it on an idle machine. It
writes results.json and speed.png beside this file; parts that are not named keep their figures.
"""

import argparse
import json
import platform
from pathlib import Path
from typing import Any

import batches
import finetuning
import matplotlib.pyplot as plt
import memory
import prediction
import pretraining
import torch
import transformers

FOLDER = Path(__file__).parent
RESULTS = FOLDER / "results.json"
PARTS = ("pretraining", "fine_tuning", "prediction", "memory", "data")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--sizes", nargs="+", default=["tiny", "mini", "small", "base"])
    parser.add_argument("--lengths", nargs="+", type=int, default=[128, 512])
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    results = json.loads(given.out.read_text()) if given.out.exists() else {}
    for part in given.parts:
        figures = measure(part, given)
        key = part if given.dropout == 0.1 else f"{part}, dropout {given.dropout}"
        results[key] = {"machine": machine(), "figures": figures}
        given.out.write_text(json.dumps(results, indent=2) + "\n")
    if "pretraining" in results:
        plot(results["pretraining"]["figures"], given.out.with_name("speed.png"))


def measure(part: str, given: argparse.Namespace) -> Any:
    if part == "pretraining":
        return pretraining.measure(given.sizes, given.lengths, given.repetitions, given.dropout)
    if part == "fine_tuning":
        return finetuning.measure(given.repetitions, given.dropout)
    if part == "prediction":
        return prediction.measure(given.repetitions)
    if part == "data":
        return batches.measure(given.repetitions)
    return memory.measure("base", 128)


def machine() -> dict[str, Any]:
    return {
        "threads": torch.get_num_threads(),
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": f"{processor()}, {torch.backends.cpu.get_cpu_capability()}",
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }


def processor() -> str:
    """Names the processor by what Linux tells of it: its name alone is often a guest's."""
    file = Path("/proc/cpuinfo")
    if not file.exists():
        return platform.processor()
    pairs = (line.partition(":") for line in file.read_text().splitlines())
    of = {key.strip(): value.strip() for key, _, value in pairs}
    known = (f"{key} {of[key]}" for key in ("cpu family", "model") if key in of)
    return ", ".join([of.get("model name", platform.processor()), *known])


def plot(figures: list[dict[str, Any]], path: Path) -> None:
    """Draws how many times as fast clozekit is, with the spread over repetitions."""
    figure, axes = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
    names = [f"{row['size']}\n{row['seq_len']}" for row in figures]
    medians = [row["ratio"]["median"] for row in figures]
    below = [row["ratio"]["median"] - row["ratio"]["lowest"] for row in figures]
    above = [row["ratio"]["highest"] - row["ratio"]["median"] for row in figures]
    axes.bar(names, medians, yerr=[below, above], capsize=4, color="#3b6ea5")
    axes.axhline(1, color="black", linewidth=0.8)
    axes.set_ylabel("times as fast as transformers")
    axes.set_xlabel("encoder, longest sequence")
    figure.savefig(path, dpi=120)
    plt.close(figure)


if __name__ == "__main__":
    main()
