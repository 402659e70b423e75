"""Times a resumption at step 10 and at step 1,000,000.

    python experiments/resume_exactness/cost.py [--repeats N]

A checkpoint of step 10 is resumed as it is, and with its place in the stream moved to a late epoch.
The seconds run from the call of `train` to the end of the first step.
"""

import argparse
import itertools
import json
import os
import shutil
import statistics
import sys
import time
from pathlib import Path
from typing import Any
from unittest import mock

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))

import torch  # noqa: E402
from experiments.resume_exactness.harness import Harness  # noqa: E402
from experiments.resume_exactness.reporting import machine, write_readme  # noqa: E402
from tests.harness import running  # noqa: E402
from tests.harness.cases import Case  # noqa: E402

from clozekit.data.pretraining.pair_source import PretrainingSource  # noqa: E402
from clozekit.tasks.base import TaskModule  # noqa: E402

CASE = Case("pretraining", workers=0, persistent=True, ranks=1, accumulation=1)
NEAR, FAR = 10, 1_000_000


def moved(content: dict[str, Any], step: int) -> dict[str, Any]:
    """Moves a checkpoint's place in the stream, at as many steps an epoch as before."""
    position = content["PretrainingDataModule"]["position"]
    epoch = position["epoch"] * step // position["step"]
    return content | {
        "global_step": step,
        "PretrainingDataModule": {"position": position | {"step": step, "epoch": epoch}},
    }


def time_first_step(harness: Harness, folder: Path) -> dict[str, Any]:
    """Resumes a copy of a run until its first step ends, and gives seconds and batches built."""

    def measure() -> None:
        built = [0]
        build = PretrainingSource.build
        began = time.perf_counter()

        def counted(source: PretrainingSource, spans: Any, is_training: bool) -> Any:
            built[0] += is_training
            return build(source, spans, is_training)

        def stop(module: TaskModule[Any], *_: Any) -> None:
            measured = {"seconds": time.perf_counter() - began, "batches": built[0]}
            (folder / "measured.json").write_text(json.dumps(measured))
            raise SystemExit(0)

        mock.patch.object(PretrainingSource, "build", counted).start()
        mock.patch.object(TaskModule, "on_train_batch_end", stop).start()

    config = CASE.config(harness.data, folder, "resume=auto", f"max_steps={2 * FAR}")
    codes, _ = running.run(config, 1, folder / "log.txt", (measure,))
    if codes != [0]:
        raise RuntimeError((folder / "log.txt").read_text())
    measured: dict[str, Any] = json.loads((folder / "measured.json").read_text())
    return measured


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    with running.scratch() as temporary:
        harness = Harness(temporary)
        harness.prepare()
        base = running.fresh(temporary / "base")
        config = CASE.config(harness.data, base, f"max_steps={NEAR}")
        running.run(config, 1, base / "log.txt")
        content = torch.load(base / "run" / "checkpoints" / "last.ckpt", weights_only=True)
        measured: dict[int, list[dict[str, Any]]] = {NEAR: [], FAR: []}
        places = {step: moved(content, step) for step in measured}
        # In turn, so that what else the machine does falls on both.
        for repeat, step in itertools.product(range(options.repeats), measured):
            folder = temporary / f"{step}-{repeat}"
            shutil.copytree(base, folder)
            for file in (folder / "run" / "checkpoints").glob("*.ckpt"):
                file.unlink()
            torch.save(places[step], folder / "run" / "checkpoints" / "last.ckpt")
            measured[step].append(time_first_step(harness, folder))
    rows = []
    for step, runs in measured.items():
        seconds = sorted(run["seconds"] for run in runs)
        rows.append(
            {
                "step": step,
                "epoch": places[step]["PretrainingDataModule"]["position"]["epoch"],
                "batches_built": max(run["batches"] for run in runs),
                "seconds": [seconds[0], statistics.median(seconds), seconds[-1]],
            }
        )
        print(rows[-1])
    results = {
        "command": f"python experiments/resume_exactness/{' '.join(['cost.py', *sys.argv[1:]])}",
        "machine": machine(),
        "repeats": options.repeats,
        "rows": rows,
    }
    (HERE / "cost.json").write_text(json.dumps(results, indent=1) + "\n")
    write_readme(HERE)


if __name__ == "__main__":
    main()
