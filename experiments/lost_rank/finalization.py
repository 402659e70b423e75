"""Shows how a process aborts when a collective fails while Python finalizes.

    python experiments/lost_rank/finalization.py [--runs 10] [--exit-at-once]

Rank 0 starts a collective and drops the tensor, so that gloo's thread has the last reference.
Before it ends it keeps the GIL for some seconds, in which rank 1 is killed. Then gloo's thread
releases the tensor and waits for the GIL, and Python's finalization ends the thread inside a C++
destructor.
"""

import argparse
import atexit
import ctypes
import datetime
import os
import signal
import socket
import sys
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

KILLED_AFTER = 3.0
HELD_MICROSECONDS = 6_000_000


keep_the_gil = ctypes.PyDLL(None).usleep
"""A function in C that keeps the GIL; a Python function would give it up when it returns."""


def work(rank: int, port: int, exits_at_once: bool) -> None:
    """Runs one rank until its end."""
    if rank == 0 and not exits_at_once:
        # Before torch registers functions of its own: this one has to run last.
        atexit.register(keep_the_gil, HELD_MICROSECONDS)
    import torch
    from torch import distributed

    from clozekit.training.ending import exit_at_once

    distributed.init_process_group(
        "gloo",
        init_method=f"tcp://127.0.0.1:{port}",
        rank=rank,
        world_size=2,
        timeout=datetime.timedelta(seconds=60),
    )
    if rank == 1:
        time.sleep(KILLED_AFTER)
        os.kill(os.getpid(), signal.SIGKILL)
    tensor = torch.zeros(3)
    tensor.note = "a tensor that Python knows"  # type: ignore[attr-defined]
    distributed.all_reduce(tensor, async_op=True)
    del tensor
    if exits_at_once:
        keep_the_gil(HELD_MICROSECONDS)
        exit_at_once(1)
    sys.exit(1)


def exit_code_of_rank_0(exits_at_once: bool) -> int:
    """Starts both ranks; gives how the first one ended."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port = listening.getsockname()[1]
    pids = []
    for rank in (0, 1):
        pid = os.fork()
        if not pid:
            work(rank, port, exits_at_once)
        pids.append(pid)
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]
    return codes[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--exit-at-once", action="store_true")
    options = parser.parse_args()
    codes = Counter(exit_code_of_rank_0(options.exit_at_once) for _ in range(options.runs))
    print(f"exit codes of rank 0: {dict(codes)}")


if __name__ == "__main__":
    main()
