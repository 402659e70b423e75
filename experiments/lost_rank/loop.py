"""Kills one of two ranks at a random moment, many times, and records how the other one ends.

    python experiments/lost_rank/loop.py [--runs 50] [--load 2] [--seed 0]

The ranks are forked from this process, which has imported torch, and run the whole command with
the variables that torchrun sets. They end through the interpreter's own finalization.
"""

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))

import torch  # noqa: E402
from tests.harness import cases, running  # noqa: E402

from clozekit import cli  # noqa: E402

LATEST_KILL = 4.0
"""The last moment at which a rank is killed, in seconds after the start or the first step."""

AT_START = 0.3
"""The share of runs of which a rank is killed at a moment counted from the start."""

DEADLINE = 90.0
"""How long the other rank has to end, in seconds."""

SENTENCE = "clozekit train: rank "
OVERRIDES = (
    *("train", "name=run", "trainer=ddp_cpu", "trainer.strategy.timeout.minutes=0.25"),
    *("encoder.hidden_size=32", "encoder.num_hidden_layers=1", "encoder.num_attention_heads=2"),
    *("encoder.intermediate_size=64", "encoder.max_position_embeddings=32"),
    *("data.max_seq_length=32", "max_steps=1000000", "global_batch_size=8", "micro_batch_size=2"),
    *("validate_every_n_steps=6", "callbacks.checkpoints.every_n_steps=4"),
    *("callbacks.progress=null", "logger.wandb=null", "trainer.log_every_n_steps=1"),
)


@dataclass(frozen=True)
class Outcome:
    """How the surviving rank of a run ended.

    Attributes:
        killed_rank: The rank that was killed.
        moment: From what the seconds to the kill are counted: `start` or `first step`.
        killed_after: These seconds.
        steps: Rows of metrics.csv at the kill, 0 before training.
        code: The exit code of the other rank; None if it was still alive at the deadline.
        sentences: Lines of its stderr that say why it ends.
        has_traceback: Whether it printed a traceback.
        is_right: Whether it ended with code 1, one sentence and no traceback.
    """

    killed_rank: int
    moment: str
    killed_after: float
    steps: int
    code: int | None
    sentences: int
    has_traceback: bool
    is_right: bool


def start(overrides: tuple[str, ...], log: Path, variables: dict[str, str]) -> int:
    """Forks a process that runs the command; it ends as a process of its own would."""
    pid = os.fork()
    if pid:
        return pid
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.environ.update(variables)
    os.chdir(log.parent)
    torch.set_num_threads(1)
    sys.argv = ["clozekit", *overrides]
    cli.main()
    raise SystemExit(0)


def start_load(number: int) -> list[int]:
    """Forks processes that keep the processor busy."""
    parent, pids = os.getpid(), []
    for _ in range(number):
        pid = os.fork()
        if not pid:
            while os.getppid() == parent:
                sum(range(100_000))
            os._exit(0)
        pids.append(pid)
    return pids


def exit_code(pid: int, seconds: float) -> int | None:
    """Waits for a child; kills it at the deadline."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if (ended := os.waitpid(pid, os.WNOHANG))[0]:
            return os.waitstatus_to_exitcode(ended[1])
        time.sleep(0.02)
    kill(pid)
    return None


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)


def lose_a_rank(data: Path, folder: Path, draw: random.Random) -> Outcome:
    """Starts a run on two ranks, kills one and waits for the other."""
    folder.mkdir()
    overrides = (
        *OVERRIDES,
        f"data.path={data / 'corpus'}",
        f"data.num_workers={draw.choice((0, 1))}",
    )
    port = running.free_port()
    logs = [folder / f"rank{rank}.log" for rank in (0, 1)]
    pids = [
        start(overrides, logs[rank], running.torchrun_variables(rank, 2, port)) for rank in (0, 1)
    ]
    killed, after = draw.randrange(2), draw.uniform(0.0, LATEST_KILL)
    moment = "start" if draw.random() < AT_START else "first step"
    metrics = folder / "runs" / "run" / "metrics.csv"
    deadline = time.monotonic() + DEADLINE
    while moment == "first step" and not metrics.exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(after)
    steps = len(metrics.read_text().splitlines()) - 1 if metrics.exists() else 0
    kill(pids[killed])
    code = exit_code(pids[1 - killed], DEADLINE)
    output = logs[1 - killed].read_text()
    sentences = sum(line.startswith(SENTENCE) for line in output.splitlines())
    has_traceback = "Traceback" in output
    return Outcome(
        killed_rank=killed,
        moment=moment,
        killed_after=round(after, 2),
        steps=max(steps, 0),
        code=code,
        sentences=sentences,
        has_traceback=has_traceback,
        is_right=code == 1 and sentences == 1 and not has_traceback,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--load", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=HERE / "results.json")
    options = parser.parse_args()
    # Not a context manager: a forked child would remove the folder as well.
    folder = Path(tempfile.mkdtemp())
    data = folder / "data"
    cases.write_data(data)
    prepared = start(("prepare", *cases.prepare_overrides(data)), data / "prepare.log", {})
    if exit_code(prepared, DEADLINE) != 0:
        raise RuntimeError((data / "prepare.log").read_text())

    draw = random.Random(options.seed)
    outcomes: list[Outcome] = []
    load = start_load(options.load)
    for number in range(options.runs):
        outcome = lose_a_rank(data, folder / str(number), draw)
        outcomes.append(outcome)
        print(number, outcome, flush=True)
        if not outcome.is_right:
            print((folder / str(number) / f"rank{1 - outcome.killed_rank}.log").read_text())
        shutil.rmtree(folder / str(number))
    for pid in load:
        kill(pid)
    shutil.rmtree(folder)
    results: dict[str, Any] = {
        "runs": options.runs,
        "right": sum(outcome.is_right for outcome in outcomes),
        "codes": {str(c): n for c, n in Counter(o.code for o in outcomes).items()},
        "load": options.load,
        "torch": torch.__version__,
        "outcomes": [asdict(outcome) for outcome in outcomes],
    }
    options.out.write_text(json.dumps(results, indent=1) + "\n")
    print(f"{results['right']} of {results['runs']} right; codes {results['codes']}")


if __name__ == "__main__":
    main()
