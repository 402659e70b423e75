"""What the keys of an executor may be, and what is said about others."""

import pytest
from omegaconf import OmegaConf

from clozekit.config.executor import SlurmExecutorConfig
from clozekit.config.prepare import PrepareConfig
from clozekit.errors import ConfigError
from clozekit.verbs import validated
from tests.programs.commands import compose_values


@pytest.mark.parametrize("time", [60, "60", "90:00", "4:00:00", "1-12", "1-12:30:00", None])
def test_times_as_slurm_writes_them(time: int | str | None) -> None:
    assert SlurmExecutorConfig(engine="slurm", time=time).time == time


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["executor.time=soon"], r"executor.*time.*minutes, hours:minutes:seconds or days-hours"),
        (["executor.time=0"], r"executor.*time.*minutes"),
        (["executor.time=-5"], r"executor.*time.*minutes"),
        (["executor.cpus_per_task=0"], r"executor.*cpus_per_task.*greater than 0"),
        (["executor.partition='a\nb'"], r"executor.*partition.*a name"),
        (["+executor.sbatch.qos=low"], r"qos has a key of its own: set executor.qos"),
        (["+executor.sbatch.mem_per_cpu=4G"], r"set executor.mem_per_cpu_gb"),
        (["+executor.sbatch.array=0-4"], r"array cannot be set, because clozekit sets it"),
        (["+executor.sbatch.job_name=mine"], r"job_name cannot be set"),
        (["+executor.sbatch.constraint='a\nrm'"], r"constraint should be a long option"),
        (["+executor.sbatch.C=a"], r"should be a long option of sbatch"),
        (["+executor.workers=2"], r"executor.*workers"),
    ],
)
def test_what_is_not_an_option_of_a_job_is_told(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        composed("executor=slurm", *overrides)


def test_another_executor_continues_the_same_corpus() -> None:
    identities = [
        composed(f"executor={name}", f"workers={workers}").identity()
        for workers, name in enumerate(("local", "slurm", "ray"), start=1)
    ]
    assert identities[0] == identities[1] == identities[2]
    assert "executor" not in identities[0]


def composed(*overrides: str) -> PrepareConfig:
    values = compose_values("prepare", "source.path=a", "out=b", *overrides)
    return validated(OmegaConf.create(values), PrepareConfig)
