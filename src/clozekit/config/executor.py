"""Where `clozekit prepare` runs its tasks: on this machine, on Slurm or on Ray."""

import re
from typing import Annotated, Literal, TypeAlias

from pydantic import Field, field_validator

from clozekit.config.groups import Closed

_OWN_KEYS = {
    "partition": "executor.partition",
    "time": "executor.time",
    "cpus-per-task": "executor.cpus_per_task",
    "mem-per-cpu": "executor.mem_per_cpu_gb",
    "qos": "executor.qos",
    "account": "executor.account",
}
_SET_BY_CLOZEKIT: tuple[str, ...] = ("array", "job-name", "output", "error", "open-mode", "signal")
_SET_BY_CLOZEKIT += ("nodes", "ntasks", "ntasks-per-node", "chdir", "wrap", "parsable", "wait")
_TIME = r"\d+(:\d\d){0,2}|\d+-\d+(:\d\d){0,2}"


class LocalExecutorConfig(Closed):
    """Processes on this machine."""

    engine: Literal["local"] = "local"


class SlurmExecutorConfig(Closed):
    """Jobs of Slurm, submitted with submitit: `pip install 'clozekit[slurm]'`.

    Attributes:
        partition: The partition; null for the cluster's default.
        time: The time limit of a job, in minutes or as Slurm writes it, such as `4:00:00` or
            `1-12:00:00`; null for the partition's default. A job that reaches it is submitted
            again, and goes on with its next task.
        cpus_per_task: The CPU cores of a job, which runs as many tasks at once.
        mem_per_cpu_gb: The memory per core, in GiB; null for the cluster's default.
        qos: The quality of service.
        account: The account that is charged.
        tasks_per_job: The number of tasks that a job runs one after another; null for at least 8,
            and at most 256 jobs.
        sbatch: Additional options of `sbatch`, such as `{constraint: skylake}`.
    """

    engine: Literal["slurm"]
    partition: str | None = None
    time: int | str | None = None
    cpus_per_task: int = Field(1, gt=0)
    mem_per_cpu_gb: float | None = Field(None, gt=0)
    qos: str | None = None
    account: str | None = None
    tasks_per_job: int | None = Field(None, gt=0)
    sbatch: dict[str, str | int | float | bool] = Field(default_factory=dict)

    @field_validator("time")
    @classmethod
    def _check_time(cls, value: int | str | None) -> int | str | None:
        if value is not None and (value == 0 or not re.fullmatch(_TIME, str(value))):
            raise ValueError("it should be minutes, hours:minutes:seconds or days-hours")
        return value

    @field_validator("partition", "qos", "account")
    @classmethod
    def _check_line(cls, value: str | None) -> str | None:
        if value is not None and not (value and value.isprintable()):
            raise ValueError("it should be a name")
        return value

    @field_validator("sbatch")
    @classmethod
    def _check_sbatch(
        cls, value: dict[str, str | int | float | bool]
    ) -> dict[str, str | int | float | bool]:
        for key, option in value.items():
            name = key.replace("_", "-")
            if name in _OWN_KEYS:
                raise ValueError(f"{key} has a key of its own: set {_OWN_KEYS[name]}")
            if name in _SET_BY_CLOZEKIT:
                raise ValueError(f"{key} cannot be set, because clozekit sets it")
            if not re.fullmatch(r"[a-z][a-z0-9-]*", name) or not str(option).isprintable():
                raise ValueError(
                    f"{key} should be a long option of sbatch, without --, on one line"
                )
        return value


class RayExecutorConfig(Closed):
    """Tasks of Ray: `pip install 'clozekit[ray]'`.

    Attributes:
        address: The address of a Ray cluster, such as `10.0.0.1:6379`, or `auto` for the cluster
            that this machine is a node of; null to start Ray on this machine alone.
        cpus_per_task: The CPU cores of a task of Ray, which runs as many of our tasks at once.
        mem_per_cpu_gb: The memory to reserve per core, in GiB; null to reserve none.
        tasks_per_job: The number of our tasks that one of Ray runs one after another; null for at
            least 8, and at most 256 tasks of Ray.
    """

    engine: Literal["ray"]
    address: str | None = Field(None, min_length=1)
    cpus_per_task: int = Field(1, gt=0)
    mem_per_cpu_gb: float | None = Field(None, gt=0)
    tasks_per_job: int | None = Field(None, gt=0)


ExecutorConfig: TypeAlias = Annotated[
    LocalExecutorConfig | SlurmExecutorConfig | RayExecutorConfig, Field(discriminator="engine")
]
