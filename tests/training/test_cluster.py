"""Who started the processes, and which of them is the first."""

import warnings
from pathlib import Path

import pytest
from lightning.fabric.plugins.environments import SLURMEnvironment

from clozekit.runs.folder import is_first_process
from clozekit.training.quiet import silence_warnings
from clozekit.training.trainer import _cluster
from tests.programs.interrupted_runs import slurm_variables

PLACES = ("RANK", "SLURM_PROCID", "NODE_RANK", "LOCAL_RANK")


def test_lightning_requeues_nothing_under_slurm(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _cluster() == []
    for name, value in slurm_variables(0, 2, 0).items():
        monkeypatch.setenv(name, value)
    (environment,) = _cluster()
    assert isinstance(environment, SLURMEnvironment) and not environment.auto_requeue
    # In a job of Slurm torchrun may start the processes.
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "none")
    assert _cluster() == []


@pytest.mark.parametrize(
    ("places", "is_first"),
    [
        ({}, True),
        ({"LOCAL_RANK": "1"}, False),
        ({"RANK": "2", "LOCAL_RANK": "0"}, False),
        ({"SLURM_PROCID": "1"}, False),
        # torchrun may give its first rank to any task of Slurm.
        ({"RANK": "0", "LOCAL_RANK": "0", "SLURM_PROCID": "1"}, True),
        # Lightning's own start in a batch script, and on two nodes.
        ({"SLURM_PROCID": "0", "LOCAL_RANK": "1"}, False),
        ({"NODE_RANK": "1", "LOCAL_RANK": "0"}, False),
    ],
)
def test_the_first_process(
    places: dict[str, str], is_first: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in PLACES:
        monkeypatch.delenv(name, raising=False)
    for name, value in places.items():
        monkeypatch.setenv(name, value)
    assert is_first_process() == is_first


def test_there_is_no_hint_where_slurm_is_only_installed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    srun = tmp_path / "srun"
    srun.write_text("#!/bin/sh\n")
    srun.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.warns(match="`srun` command is available"):
        SLURMEnvironment.detect()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        silence_warnings(shows_profile=False)
        assert _cluster() == []
    assert caught == []
