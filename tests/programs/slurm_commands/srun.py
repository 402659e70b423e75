"""Stands in for `srun`: starts a job's tasks on this machine, as its manual says.

Each task has variables that tell its place; signals are handed on to all of them; the exit code is
the largest of theirs.
"""

import os
import signal
import subprocess
import sys
from types import FrameType


def main() -> int:
    arguments = sys.argv[1:]
    while arguments[0].startswith("--"):
        arguments.pop(0)
    per_node = int(os.environ["SLURM_NTASKS_PER_NODE"])
    tasks: list[subprocess.Popen[bytes]] = []

    def hand_on(number: int, frame: FrameType | None) -> None:
        for task in tasks:
            task.send_signal(number)

    signal.signal(signal.SIGTERM, hand_on)
    for rank in range(int(os.environ["SLURM_NTASKS"])):
        place = {
            "SLURM_PROCID": str(rank),
            "SLURM_LOCALID": str(rank % per_node),
            "SLURM_NODEID": str(rank // per_node),
        }
        tasks.append(subprocess.Popen(arguments, env=os.environ | place))
    codes = [task.wait() for task in tasks]
    return max(128 - code if code < 0 else code for code in codes)


if __name__ == "__main__":
    sys.exit(main())
