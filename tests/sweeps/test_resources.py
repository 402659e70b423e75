"""A machine's cores and GPUs, shared out."""

import pytest

from clozekit.errors import ConfigError
from clozekit.sweeps import resources
from clozekit.sweeps.job import Job
from clozekit.sweeps.resources import shares, visible_gpus
from tests.programs.commands import train_config

GPUS = {"CUDA_VISIBLE_DEVICES": "2,3,5,7"}


@pytest.fixture(autouse=True)
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "num_cores", lambda: 8)


def job(*overrides: str) -> Job:
    config = train_config("name=mine", "data.path=corpus", "max_steps=1", *overrides)
    return Job("mine", (), (), config)


def test_a_job_alone_has_the_whole_machine() -> None:
    assert shares(job("trainer=gpu"), 1, 0, GPUS) == {}


@pytest.mark.parametrize(
    ("trainer", "n_jobs", "threads"),
    [("cpu", 2, "4"), ("cpu", 3, "2"), ("ddp_cpu", 2, "2"), ("cpu", 20, "1")],
)
def test_jobs_on_the_cpu_share_its_cores(trainer: str, n_jobs: int, threads: str) -> None:
    shared = shares(job(f"trainer={trainer}"), n_jobs, 0, GPUS)
    assert shared == {"OMP_NUM_THREADS": threads}


def test_what_the_user_said_of_threads_holds() -> None:
    assert shares(job(), 2, 0, {"OMP_NUM_THREADS": "3"}) == {}


@pytest.mark.parametrize(("trainer", "n_jobs"), [("gpu", 2), ("gpu", 4), ("ddp", 2)])
def test_no_two_jobs_have_a_gpu_in_common(trainer: str, n_jobs: int) -> None:
    given = [
        shares(job(f"trainer={trainer}"), n_jobs, slot, GPUS)["CUDA_VISIBLE_DEVICES"].split(",")
        for slot in range(n_jobs)
    ]
    assert [gpu for share in given for gpu in share] == ["2", "3", "5", "7"]


def test_too_few_gpus_are_told() -> None:
    with pytest.raises(ConfigError, match="n_jobs=3 jobs with 2 GPUs each need 6 GPUs, but only 4"):
        shares(job("trainer=gpu", "trainer.devices=2"), 3, 0, GPUS)


def test_gpus_that_are_hidden_do_not_count() -> None:
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": ""}) == []
    assert visible_gpus(GPUS) == ["2", "3", "5", "7"]
