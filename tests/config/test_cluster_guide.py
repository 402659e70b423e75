"""The commands of docs/cluster.md: each is composed and checked, as its verb does first."""

import shlex
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from clozekit.command import validated
from clozekit.config.location import conf_dir
from clozekit.config.prepare import PrepareConfig
from clozekit.config.train import TrainConfig
from tests.programs.commands import compose_values

ROOT = Path(__file__).resolve().parents[2]
GUIDE = ROOT / "docs" / "cluster.md"


def commands() -> list[list[str]]:
    """The arguments of each command in the guide."""
    blocks = GUIDE.read_text(encoding="utf-8").split("```sh\n")[1:]
    lines = [block.partition("```")[0].replace("\\\n", " ").splitlines() for block in blocks]
    return [shlex.split(line) for block in lines for line in block]


def test_each_command_is_what_the_program_takes() -> None:
    verbs = [check(*command) for command in commands()]
    assert sorted(set(verbs)) == ["pip", "prepare", "ray", "sbatch", "sweep"]
    assert verbs.count("prepare") == 4


def check(program: str, *arguments: str) -> str:
    if program == "pip":
        extra = arguments[1].partition("[")[2].rstrip("]")
        assert f"\n{extra} = [" in (ROOT / "pyproject.toml").read_text()
    elif program == "ray":
        start = pytest.importorskip("ray.scripts.scripts").start
        assert arguments[0] == "start"
        start.make_context("start", list(arguments[1:]))
    elif program == "sbatch":
        assert (ROOT / arguments[0]).is_file()
        validated(OmegaConf.create(compose_values("train", *arguments[1:])), TrainConfig)
    elif arguments[:2] == ("train", "-m"):
        check_sweep(*arguments[2:])
        return "sweep"
    else:
        assert (program, arguments[0]) == ("clozekit", "prepare")
        values = OmegaConf.create(compose_values("prepare", *arguments[1:]))
        assert validated(values, PrepareConfig).executor.engine in ("slurm", "ray")
        return "prepare"
    return program


def check_sweep(*overrides: str) -> None:
    jobs = [override.partition(",")[0] for override in overrides]
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        composed = compose("train", jobs, return_hydra_config=True)
    launcher = composed.hydra.launcher
    assert launcher._target_.endswith("SubmititLauncher")
    assert (launcher.timeout_min, launcher.parameters.slurm_partition) == (240, "gpu")
    validated(OmegaConf.create(compose_values("train", *jobs)), TrainConfig)
