"""Writes the tables of README.md from the figures that were measured.

python -m experiments.throughput.tables
"""

import json
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any

from experiments.pages import replaced, row
from experiments.throughput.labels import (
    COMMAND,
    DATA,
    FIRST_STEP,
    ONE_CORE,
    PARTS,
    PLAIN,
)

FOLDER = Path(__file__).parent
README = FOLDER / "README.md"
FAMILIES = FOLDER / "families.json"
LOSSES = FOLDER / "loss_against_time.json"

LENGTHS = (
    "The cost of a token in one block, forward and backward, when 8,192 tokens are cut into texts "
    "of each length:"
)


def main() -> None:
    README.write_text(page(README.read_text(encoding="utf-8")), encoding="utf-8")


def page(text: str) -> str:
    """Returns README.md with the tables of the figures that were measured."""
    results = json.loads((FOLDER / "results.json").read_text())
    profiles = json.loads((FOLDER / "profile.json").read_text())
    for name, lines in (
        ("pretraining", pretraining(results["pretraining"]["figures"])),
        ("prediction", prediction(results["prediction"]["figures"])),
        ("memory", memory(results["memory"]["figures"])),
        ("batches", batches(results["data"]["figures"])),
        ("profile", profile(profiles)),
        ("levers", levers(json.loads((FOLDER / "levers.json").read_text()))),
        ("loss against time", loss_against_time(json.loads(LOSSES.read_text()))),
        ("commands", commands(json.loads((FOLDER / "commands.json").read_text()))),
        ("sweep starts", sweep_starts(json.loads((FOLDER / "sweep_starts.json").read_text()))),
        ("machine", machine(results["pretraining"]["machine"])),
    ):
        text = replaced(text, name, "\n".join(lines))
    if FAMILIES.is_file():
        text = replaced(text, "families", "\n".join(families(json.loads(FAMILIES.read_text()))))
    if "fine_tuning" in results:
        text = replaced(
            text, "fine-tuning", "\n".join(fine_tuning(results["fine_tuning"]["figures"]))
        )
    return text


def speeds_in_words() -> str:
    """Returns the sentence of the repository's README.md."""
    results = json.loads((FOLDER / "results.json").read_text())
    of_length: dict[int, list[str]] = {}
    for figure in results["pretraining"]["figures"]:
        ratio = f"{figure['ratio']['median']:.1f}"
        of_length.setdefault(figure["seq_len"], []).append(ratio)
    short, long = (f"{', '.join(of[:-1])} and {of[-1]}" for of in of_length.values())
    tuned = [
        f"{figure['ratio']['dynamic padding']['median']:.1f}"
        for figure in results["fine_tuning"]["figures"]
    ]
    return (
        f"a pretraining step is {short} times as fast as with transformers for tiny, mini, small "
        f"and base at 128 tokens, and {long} times at 512. Fine-tuning is {tuned[0]} times as fast "
        f"on sentences and {tuned[1]} times on whole reviews"
    )


def families(results: dict[str, Any]) -> Iterator[str]:
    yield from header(
        *("family", "encoder", "length", "texts", "times as fast"),
        *("clozekit, tokens/s", "transformers, tokens/s"),
    )
    for of in results["steps"]:
        rates = of["tokens_per_second"]
        yield row(
            of["family"],
            of["size"],
            of["seq_len"],
            of["sequences"],
            with_spread(of["ratio"]),
            *(f"{rates[name]['median']:,.0f}" for name in ("clozekit", "transformers")),
        )
    yield from ("", LENGTHS, "", "![cost of a token against length](length.png)")


def with_spread(of: dict[str, float], form: str = ".2f") -> str:
    return f"{of['median']:{form}} ({of['lowest']:{form}} to {of['highest']:{form}})"


def header(*cells: str) -> Iterator[str]:
    yield row(*cells)
    yield "|" + "---|" * len(cells)


def pretraining(figures: list[dict[str, Any]]) -> Iterator[str]:
    yield from header(
        "encoder", "length", "pairs", "padding", "times as fast", "clozekit, tokens/s",
        "transformers, tokens/s", "clozekit, of oneDNN's rate", "transformers, of `a @ b`",
    )  # fmt: skip
    for of in figures:
        rates = {name: rate["median"] for name, rate in of["tokens_per_second"].items()}
        machine, flops = of["matrix_product_rates"], of["flops_per_second"]
        yield row(
            of["size"],
            of["seq_len"],
            of["pairs"],
            f"{of['padding']:.0%}",
            with_spread(of["ratio"]),
            f"{rates['clozekit']:,.0f}",
            f"{rates['transformers']:,.0f}",
            share(flops["clozekit"], machine["oneDNN"]),
            share(flops["transformers"], machine["a @ b"]),
        )


def share(flops: float, rate: float) -> str:
    return f"{flops / rate:.0%} of {rate / 1e9:.0f} GFLOP/s"


def fine_tuning(figures: list[dict[str, Any]]) -> Iterator[str]:
    yield from header(
        "texts", "tokens a text", "a batch", "against dynamic padding", "against length grouping",
        "clozekit, tokens/s",
    )  # fmt: skip
    for of in figures:
        yield row(
            of["texts"],
            f"{of['mean_tokens']:.0f}",
            of["batch_size"],
            with_spread(of["ratio"]["dynamic padding"]),
            with_spread(of["ratio"]["length grouping"]),
            f"{of['tokens_per_second']['clozekit']['median']:,.0f}",
        )


def prediction(figures: list[dict[str, Any]]) -> Iterator[str]:
    yield from header("texts", "number", "times as fast", "clozekit, s", "the best pipeline")
    for of in figures:
        seconds = {name: values["median"] for name, values in of["seconds"].items()}
        yield row(
            of["texts"],
            of["number"],
            with_spread(of["ratio"]),
            f"{seconds['clozekit']:.2f}",
            f"{seconds[of['best']]:.2f} s, {of['best'].removeprefix('pipeline, ')}",
        )


def memory(of: dict[str, Any]) -> Iterator[str]:
    yield from header(
        "", "the process, MiB", "beside weights, gradients and Adam, MiB",
        "kept for backward, MiB",
    )  # fmt: skip
    for name, mib in of["mib"].items():
        yield row(
            name,
            f"{mib['process']:,.0f} ({of['share'][name]:.0%})",
            f"{mib['beside_weights']:,.0f} ({of['share_beside_weights'][name]:.0%})",
            f"{mib['kept_for_backward']:,.0f} ({of['share_kept_for_backward'][name]:.0%})",
        )


def batches(figures: dict[str, Any]) -> Iterator[str]:
    yield from header("", "per second")
    for name, of in figures.items():
        yield row(name, with_spread(of, ",.0f"))


def profile(tables: dict[str, Any]) -> Iterator[str]:
    columns = [(size, name) for size, programs in tables.items() for name in programs]
    yield from header("ms a step", *(f"{size}, {name}" for size, name in columns))
    for part in PARTS:
        yield row(part, *(f"{tables[size][name].get(part, 0):,.1f}" for size, name in columns))
    sums = [sum(tables[size][name].get(part, 0) for part in PARTS) for size, name in columns]
    yield row("their sum", *(f"{of:,.1f}" for of in sums))
    for figure in (PLAIN, DATA, COMMAND):
        cells = [tables[size][name].get(figure) for size, name in columns]
        yield row(figure, *("" if ms is None else f"{ms:,.1f}" for ms in cells))


def levers(figures: dict[str, Any]) -> Iterator[str]:
    sizes = list(dict.fromkeys(size for of in figures.values() for size in of))
    yield from header("times as fast with it", *sizes)
    for lever, of in figures.items():
        yield row(lever, *(with_spread(of[size]) if size in of else "" for size in sizes))


def loss_against_time(curves: dict[str, Any]) -> Iterator[str]:
    programs = list(next(iter(curves.values())))
    yield from header(
        "after", *(f"{name}, {what}" for what in ("steps", "loss") for name in programs)
    )
    for size, of_size in curves.items():
        ends = [of_size[name][-1] for name in programs]
        yield row(
            f"{size}, {ends[0]['seconds'] / 60:.0f} minutes",
            *(end["step"] for end in ends),
            *(f"{end['mlm_loss']:.2f}" for end in ends),
        )


def commands(of: dict[str, Any]) -> Iterator[str]:
    yield from header("", "text, MB", "cores", "s", "MB/s", "memory at most, MiB")
    one_core = {"megabytes": of["small"]["megabytes"], **of[ONE_CORE]}
    for what, cores, prepared in (
        ("prepare, a known vocabulary", 1, one_core),
        ("prepare", of["cores"], {**of["small"], **of["small"]["prepare"]}),
        ("prepare", of["cores"], {**of["large"], **of["large"]["prepare"]}),
    ):
        megabytes, seconds = prepared["megabytes"], prepared["seconds"]
        rate = f"{megabytes / seconds:.1f}"
        peak = f"{prepared['peak_mib']:,.0f}"
        yield row(what, f"{megabytes:,.0f}", cores, f"{seconds:.1f}", rate, peak)
    for size in ("small", "large"):
        peak = f"{of[size]['train']['peak_mib']:,.0f}"
        yield row("train, tiny", f"{of[size]['megabytes']:,.0f}", of["cores"], "", "", peak)
    first = of[FIRST_STEP]
    yield row("train, until its first step", "", of["cores"], f"{max(first):.1f}", "", "")


def sweep_starts(of: dict[str, Any]) -> Iterator[str]:
    yield from header("seconds until the first step", "first job", "each other job")
    forked, started = "forked from a process with the imports", "new processes"
    setting = "(`hydra.launcher.fork_server=false`)"
    for title, side in ((forked, "fork server"), (f"{started} {setting}", "new processes")):
        seconds = of["seconds"][side]
        yield row(title, *(f"{median(seconds[job]):.2f}" for job in ("first", "others")))


def machine(of: dict[str, Any]) -> Iterator[str]:
    yield (
        f"{of['threads']} threads, {of['system']}, {of['cpu']}, torch {of['torch']}, transformers "
        f"{of['transformers']}"
    )


if __name__ == "__main__":
    main()
