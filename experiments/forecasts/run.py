"""Compares what `plan=true` forecasts with what happens, on ten configurations.

    clozekit prepare source=movie_reviews out=data/reviews
    python experiments/forecasts/measure.py data/reviews --budget 60

For each configuration, a process forecasts how many steps fit the budget, with their time and
memory, and another process trains for that many steps. Both are timed inside the process, so that
imports do not count. The machine should be idle. Results are added to `results.json` after each
configuration; those that are already there are skipped.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

FOLDER = Path(__file__).parent
TINY = ("encoder=tiny", "data.max_seq_length=128")
LOCAL = ("encoder.local_attention=32", "encoder.global_attn_every_n_layers=3")
FIRST = "data.first_phase={ratio: 0.7, max_seq_length: 32, micro_batch_size: 32}"
MASKED_LM = ("task=masked_lm", "data=masked_lm")

CONFIGURATIONS: dict[str, tuple[str, ...]] = {
    "tiny": (*TINY, "global_batch_size=32", "micro_batch_size=32"),
    "tiny, small batches": (*TINY, "global_batch_size=8", "micro_batch_size=8"),
    "tiny, 4 micro-batches": (*TINY, "global_batch_size=64", "micro_batch_size=16"),
    "tiny, 512 tokens": (
        *("encoder=tiny", "data.max_seq_length=512"),
        *("global_batch_size=16", "micro_batch_size=16"),
    ),
    "tiny, two phases": (*TINY, FIRST, "global_batch_size=32", "micro_batch_size=16"),
    "tiny, often validated": (
        *(*TINY, "global_batch_size=32", "micro_batch_size=32"),
        *("validate_every_n_steps=50", "trainer.limit_val_batches=20"),
    ),
    "tiny, often saved": (
        *(*TINY, "global_batch_size=32", "micro_batch_size=32"),
        "callbacks.checkpoints.every_n_steps=10",
    ),
    "tiny, checkpointing": (
        *(*TINY, "activation_checkpointing=true"),
        *("global_batch_size=64", "micro_batch_size=64"),
    ),
    "mini, masked words": (
        *(*MASKED_LM, "encoder=mini", "data.max_seq_length=128"),
        *("global_batch_size=32", "micro_batch_size=32"),
    ),
    "modern tiny": (
        *("encoder=modern_tiny", "data.max_seq_length=256", *LOCAL),
        *("global_batch_size=16", "micro_batch_size=16"),
    ),
}


def main() -> None:
    """Runs what is missing in the results, and prints the errors."""
    arguments = parsed()
    if arguments.one is not None:
        print(json.dumps(of_process(arguments.one, arguments.overrides)))
        return
    file: Path = arguments.results
    results = json.loads(file.read_text()) if file.exists() else {"machine": machine()}
    runs = results.setdefault("runs", {})
    for name, overrides in CONFIGURATIONS.items():
        if name not in runs:
            runs[name] = compared(arguments.corpus.resolve(), overrides, arguments)
            file.write_text(json.dumps(results, indent=1) + "\n")
        time_error, memory_error = (runs[name][f"{what}_error"] for what in ("time", "memory"))
        print(f"{name}: time {time_error:+.0%}, memory {memory_error:+.0%}", flush=True)


def parsed() -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("corpus", type=Path, help="a prepared corpus")
    parser.add_argument("--budget", type=float, default=60.0, help="seconds per configuration")
    parser.add_argument("--results", type=Path, default=FOLDER / "results.json")
    parser.add_argument("--more", nargs="*", default=[], help="overrides of all configurations")
    parser.add_argument("--one", choices=("plan", "run"), help="used by the script itself")
    parser.add_argument("--overrides", nargs="*", default=[])
    return parser.parse_args()


def compared(
    corpus: Path, overrides: tuple[str, ...], arguments: argparse.Namespace
) -> dict[str, Any]:
    """Forecasts and trains a configuration."""
    folder = Path(tempfile.mkdtemp())
    common = [
        *("name=run", f"runs_dir={folder}", f"data.path={corpus}", *overrides, *arguments.more),
        *("logger.wandb=null", "callbacks.progress=null"),
    ]
    try:
        plan = started("plan", [*common, f"budget={arguments.budget}s", "plan=true"])
        steps = int(plan["result"]["max_steps"])
        plan = started("plan", [*common, f"max_steps={steps}", "plan=true"])
        run = started("run", [*common, f"max_steps={steps}"])
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    forecast = plan["result"]
    return {
        "overrides": [*overrides, *arguments.more],
        "forecast": forecast,
        "seconds": run["seconds"],
        "peak_bytes": run["peak_bytes"],
        "time_error": forecast["seconds"] / run["seconds"] - 1,
        "memory_error": forecast["memory_bytes"] / run["peak_bytes"] - 1,
        "measured_memory_error": forecast["measured_bytes"] / run["peak_bytes"] - 1,
    }


def started(what: str, overrides: list[str]) -> dict[str, Any]:
    """Runs a part of the work in a process of its own."""
    command = [sys.executable, __file__, ".", "--one", what, "--overrides", *overrides]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    if finished.returncode:
        sys.exit(f"{' '.join(overrides)}:\n{finished.stderr}")
    answer: dict[str, Any] = json.loads(finished.stdout.splitlines()[-1])
    return answer


def of_process(what: str, overrides: list[str]) -> dict[str, Any]:
    """Forecasts or trains in this process."""
    from clozekit.config.location import conf_dir
    from clozekit.config.overrides import as_overrides
    from clozekit.config.train import TrainConfig
    from clozekit.environment import prepare_for_torch

    prepare_for_torch()
    import torch

    from clozekit.train import train
    from clozekit.training.measuring import peak_memory

    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        composed = compose("train", overrides=as_overrides("train", overrides))
    values: Any = OmegaConf.to_container(composed, resolve=True, throw_on_missing=True)
    config = TrainConfig.model_validate(values)
    began = time.perf_counter()
    result = train(config)
    seconds = time.perf_counter() - began
    device = torch.device("cuda" if torch.cuda.is_initialized() else "cpu")
    return {"what": what, "result": result, "seconds": seconds, "peak_bytes": peak_memory(device)}


def machine() -> dict[str, Any]:
    """Describes the machine."""
    import torch

    return {
        "platform": platform.platform(),
        "cores": len(os.sched_getaffinity(0)),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


if __name__ == "__main__":
    main()
