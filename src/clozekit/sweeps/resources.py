"""Distributes a machine's cores and GPUs over concurrent jobs."""

import shutil
import subprocess
from collections.abc import Mapping

from clozekit.environment import num_cores
from clozekit.errors import ConfigError
from clozekit.sweeps.job import Job


def shares(job: Job, n_jobs: int, slot: int, environment: Mapping[str, str]) -> dict[str, str]:
    """Returns environment variables with a job's share of the cores and GPUs.

    Args:
        job: The job.
        n_jobs: The number of concurrent jobs.
        slot: The job's index among them, from 0.
        environment: The sweep's environment. If it sets the number of threads, all jobs use it.

    Raises:
        ConfigError: The machine has fewer GPUs than the jobs need.
    """
    if n_jobs == 1:
        return {}
    variables = {}
    if "OMP_NUM_THREADS" not in environment:
        threads = num_cores() // (n_jobs * (job.devices() or 1))
        variables["OMP_NUM_THREADS"] = str(max(1, threads))
    gpus = visible_gpus(environment) if job.uses_gpus() else []
    if gpus:
        share = len(gpus) // n_jobs
        needed = job.devices() or 1
        if share < needed:
            raise ConfigError(
                f"hydra.launcher.n_jobs={n_jobs} jobs with {needed} GPUs each need "
                f"{n_jobs * needed} GPUs, but only {len(gpus)} are available"
            )
        variables["CUDA_VISIBLE_DEVICES"] = ",".join(gpus[slot * share : (slot + 1) * share])
    return variables


def visible_gpus(environment: Mapping[str, str]) -> list[str]:
    """Lists the NVIDIA GPUs that are visible to CUDA, without importing torch."""
    given = environment.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        return [gpu.strip() for gpu in given.split(",") if gpu.strip()]
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return []
    try:
        listed = subprocess.run(
            [tool, "--query-gpu=index", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
    except (OSError, subprocess.SubprocessError):
        return []
    return [line.strip() for line in listed.stdout.splitlines() if line.strip().isdecimal()]
