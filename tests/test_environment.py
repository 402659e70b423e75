"""What is set before torch is imported."""

import os
import subprocess
import sys

import pytest

from clozekit.environment import cores_per_process, num_cores

PRODUCTS = """
import sys
from clozekit.environment import prepare_for_torch
prepare_for_torch()
import torch
from clozekit.models.kernels.linear import Linear

def resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 >> 20

torch.set_num_threads(1)
layer, inputs = Linear(256, 1024), torch.randn(1600, 256)
with torch.no_grad():
    for rows in range(100, 140):
        layer(inputs[:rows])
    layer(inputs)
    before = resident()
    for rows in range(200, 1400, 3):
        layer(inputs[:rows])
print(resident() - before)
"""


WAITING = """
import os
from clozekit.environment import prepare_for_torch
prepare_for_torch()
print(os.environ["OMP_WAIT_POLICY"], os.environ.get("GOMP_SPINCOUNT"))
"""


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "passive 1000"),
        ({"OMP_WAIT_POLICY": "active"}, "active None"),
        ({"GOMP_SPINCOUNT": "5"}, "passive 5"),
        ({"OMP_WAIT_POLICY": "passive", "GOMP_SPINCOUNT": "1000"}, "passive 1000"),
    ],
)
def test_threads_wait_briefly_unless_the_user_says_how(
    given: dict[str, str], expected: str
) -> None:
    names = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
    environment = {name: value for name, value in os.environ.items() if name not in names}
    finished = subprocess.run(
        [sys.executable, "-c", WAITING],
        env={**environment, **given},
        check=True,
        capture_output=True,
        text=True,
    )
    assert finished.stdout.strip() == expected


COLLECTING = """
import gc, sys
from clozekit.environment import without_collector
told = []
for module in ("json.tool", "torch"):
    with without_collector():
        told.append(gc.isenabled())
        sys.modules[module] = None
    told.append(gc.isenabled() and gc.get_freeze_count() > 0)
with without_collector():
    told.append(gc.isenabled())
print(told)
"""


def test_the_collector_rests_during_the_first_imports_alone() -> None:
    finished = subprocess.run(
        [sys.executable, "-c", COLLECTING], check=True, capture_output=True, text=True
    )
    assert finished.stdout.strip() == "[False, True, False, True, True]"


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc and sets glibc's malloc")
def test_products_of_ever_new_shapes_take_no_memory() -> None:
    """Without the limit 400 of them took 1,246 MiB."""
    environment = {k: v for k, v in os.environ.items() if not k.endswith("CACHE_CAPACITY")}
    finished = subprocess.run(
        [sys.executable, "-c", PRODUCTS],
        env=environment,
        check=True,
        capture_output=True,
        text=True,
    )
    assert int(finished.stdout) < 400


@pytest.mark.parametrize(
    ("variables", "cores"),
    [
        ({}, 8),
        ({"SLURM_CPUS_PER_TASK": "2"}, 8),
        ({"SLURM_JOB_ID": "1", "SLURM_CPUS_PER_TASK": "2", "SLURM_CPUS_ON_NODE": "4"}, 2),
        ({"SLURM_JOB_ID": "1", "SLURM_CPUS_ON_NODE": "4"}, 4),
        ({"SLURM_JOB_ID": "1", "SLURM_CPUS_ON_NODE": "64"}, 8),
        ({"SLURM_JOB_ID": "1", "SLURM_CPUS_PER_TASK": ""}, 8),
    ],
)
def test_the_cores_are_those_that_slurm_and_the_system_give(
    variables: dict[str, str], cores: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    give(variables, monkeypatch)
    assert num_cores() == cores


def test_processes_of_srun_have_cores_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    give({}, monkeypatch)
    assert cores_per_process(4) == 2
    slurm = {"SLURM_JOB_ID": "1", "SLURM_CPUS_PER_TASK": "4"}
    give(slurm, monkeypatch)
    assert cores_per_process(4) == 1
    give(slurm | {"SLURM_STEP_NUM_TASKS": "4"}, monkeypatch)
    assert cores_per_process(4) == 4


def give(variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Sets the variables of Slurm, on a machine of eight cores."""
    for name in [name for name in os.environ if name.startswith("SLURM_")]:
        monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
