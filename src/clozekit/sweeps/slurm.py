"""What Slurm knows about a job, by its own commands. They need no accounting, as `sacct` does."""

import re
import subprocess
import time
from collections.abc import Mapping

RUNNING, CANCELLED, COMPLETING, UNKNOWN = "RUNNING", "CANCELLED", "COMPLETING", "UNKNOWN"

GOES_ON = (
    *("PENDING", "CONFIGURING", RUNNING, "SUSPENDED", "REQUEUED", "REQUEUE_FED", "RESIZING"),
    *("SIGNALING", "STAGE_OUT", "STOPPED"),
)
"""The states of a job that is queued or running."""

NOT_ENDED = (*GOES_ON, COMPLETING, "PREEMPTED", UNKNOWN)
"""The states of a job that may still return a result or be queued again."""

GONE = "GONE"
"""Slurm has forgotten the job, some minutes after its end."""

_SECONDS = 30


def state_of(job_id: str) -> str:
    """Returns the state of a job: a name of Slurm's, `GONE`, or `UNKNOWN` if Slurm is silent."""
    return _look(job_id)[0]


def goes_on(job_id: str, name: str) -> bool:
    """Whether a job of this name is queued or running. A job that ends is waited for a while."""
    if not re.fullmatch(r"\d+", job_id):
        return False
    deadline = time.monotonic() + _SECONDS
    while (look := _look(job_id))[0] == COMPLETING and time.monotonic() < deadline:
        time.sleep(1)  # it is being queued again, or ends
    return look[0] in GOES_ON and look[1] == name


def was_preempted(environment: Mapping[str, str]) -> bool:
    """Whether the job of this process was told to end though nobody cancelled it.

    A cancelled job is completing at once; one that is preempted runs until its grace time is over.
    """
    # A sweep with `cluster=local` may itself run within a job of Slurm.
    if environment.get("SUBMITIT_EXECUTOR") != "slurm":
        return False
    return state_of(environment.get("SLURM_JOB_ID", "")) == RUNNING


def _look(job_id: str) -> tuple[str, str]:
    """Returns the state and the name of a job."""
    command = ["squeue", "--noheader", "--states=all", f"--jobs={job_id}", "--format=%T %j"]
    try:
        answer = subprocess.run(
            command, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return UNKNOWN, ""
    if answer.returncode:
        return (GONE if "Invalid job id" in answer.stderr else UNKNOWN), ""
    state, _, name = answer.stdout.strip().partition(" ")
    return state or GONE, name
