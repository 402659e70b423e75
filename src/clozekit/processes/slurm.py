"""What Slurm knows about a job, by its own commands. They need no accounting, as `sacct` does."""

import os
import re
import subprocess
import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

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


class JobState(NamedTuple):
    """A job's state, and why it is in it."""

    state: str
    reason: str


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


def jobs_named(name: str) -> dict[str, JobState] | None:
    """Returns this user's jobs of a name that have not ended, by id; None if Slurm is silent.

    The id of a job of an array has the form `123_4`.
    """
    answer = _ask("squeue", "--noheader", "--array", *_of(name), "--format=%i|%T|%r")
    if answer is None or answer.returncode:
        return None
    lines = (line.strip().split("|", 2) for line in answer.stdout.splitlines() if line.strip())
    return {job_id: JobState(state, reason) for job_id, state, reason in lines}


def cancel_named(name: str) -> bool:
    """Cancels this user's jobs of a name; returns whether Slurm took the request."""
    answer = _ask("scancel", *_of(name))
    return answer is not None and not answer.returncode


def cancel(job_ids: Sequence[str]) -> None:
    """Cancels jobs."""
    _ask("scancel", *job_ids)


def _of(name: str) -> tuple[str, ...]:
    return f"--name={name}", f"--user={os.getuid()}"


def _ask(*command: str) -> "subprocess.CompletedProcess[str] | None":
    """Runs a command of Slurm's; returns None if it does not answer."""
    try:
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
            start_new_session=True,  # so that Ctrl-C, which ends this process, does not end it
        )
    except (OSError, subprocess.TimeoutExpired):
        return None


def _look(job_id: str) -> tuple[str, str]:
    """Returns the state and the name of a job."""
    command = ("squeue", "--noheader", "--states=all", f"--jobs={job_id}", "--format=%T %j")
    answer = _ask(*command)
    if answer is None:
        return UNKNOWN, ""
    if answer.returncode:
        return (GONE if "Invalid job id" in answer.stderr else UNKNOWN), ""
    state, _, name = answer.stdout.strip().partition(" ")
    return state or GONE, name
