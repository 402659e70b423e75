"""Running clozekit: as a process of its own, or in this one from a composed configuration."""

import csv
import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from clozekit.config.composition.location import conf_dir
from clozekit.config.train import TrainConfig
from tests.harness.command_server import Command, server

TINY = (
    "encoder.hidden_size=32",
    "encoder.num_hidden_layers=2",
    "encoder.num_attention_heads=2",
    "encoder.intermediate_size=64",
    "encoder.max_position_embeddings=64",
    "encoder.initializer_range=0.1",
    "data.max_seq_length=48",
)
"""An encoder that a step takes milliseconds with; one so narrow begins with larger weights."""

QUIET = ("logger.wandb=null", "callbacks.progress=null")
"""Only what a test looks at."""

COMMAND = (sys.executable, "-m", "clozekit")
TORCHRUN = (
    *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"),
    *("-m", "clozekit"),
)
"""The command on two processes, by torchrun's start."""

TIMES = (
    *("train/tokens_per_second", "train/flops_per_second", "train/mfu"),
    *("train/checkpoint_seconds", "train/checkpoint_share"),
    *("train/probe_seconds", "train/probe_share"),
)


def run_clozekit(
    *arguments: str,
    cwd: Path,
    command: tuple[str, ...] | None = None,
    more: dict[str, str] | None = None,
    seconds: float = 240,
) -> subprocess.CompletedProcess[str]:
    """Runs the command in a process of its own, and gives its exit code and output.

    Args:
        *arguments: The verb and its overrides.
        cwd: The folder that it runs in.
        command: What stands before them. If not given, the process is a child of one in which the
            imports are done.
        more: Environment variables beside this process's.
        seconds: After how long it is killed, which raises `subprocess.TimeoutExpired`.
    """
    environment = child_environment() | (more or {})
    if command is None:
        return server().run(arguments, cwd, environment, seconds)
    return subprocess.run(
        [*command, *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


def run_ranks(
    *arguments: str,
    cwd: Path,
    variables: Callable[[int, int, int], dict[str, str]] | None = None,
    more: dict[str, str] | None = None,
    seconds: float = 240,
) -> list[subprocess.CompletedProcess[str]]:
    """Runs the command on two processes, as torchrun starts it, and gives how each ended.

    Neither has to do the imports, as the second process has to that Lightning starts.

    Args:
        *arguments: The verb and its overrides.
        cwd: The folder that it runs in.
        variables: The environment variables of a rank among so many, by a port. If not given, those
            of torchrun.
        more: Environment variables of both.
        seconds: After how long each is killed.
    """
    # It imports torch, which not all that uses this module needs.
    from tests.harness.running import free_port, torchrun_variables

    of_rank, port = variables or torchrun_variables, free_port()
    with ThreadPoolExecutor() as tasks:
        started = [
            tasks.submit(
                run_clozekit,
                *arguments,
                cwd=cwd,
                more={**(more or {}), **of_rank(rank, 2, port)},
                seconds=seconds,
            )
            for rank in (0, 1)
        ]
        return [task.result() for task in started]


def start_clozekit(*arguments: str, cwd: Path, output: Path, errors: Path | None = None) -> Command:
    """Starts the command in a process group of its own; what it prints is appended to files.

    Args:
        *arguments: The verb and its overrides.
        cwd: The folder that it runs in.
        output: The file of stdout; a named pipe is one too.
        errors: The file of stderr, if it is another.
    """
    return server().start(arguments, cwd, environment_with_tests(), output, errors or output)


def is_there(group: int) -> bool:
    """Whether a process group still has processes. To ask for their list takes far longer."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def child_environment() -> dict[str, str]:
    """This process's environment, without what a run in this process has put there."""
    ranks = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "NODE_RANK")
    return {
        name: value
        for name, value in os.environ.items()
        if name not in ranks and (not name.startswith("WANDB_") or name == "WANDB_MODE")
    }


def environment_with_tests() -> dict[str, str]:
    """The same for a command whose configuration names a callback of the tests."""
    root = str(Path(__file__).resolve().parents[2])
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    return child_environment() | {"PYTHONPATH": os.pathsep.join(paths)}


def compose_values(verb: str, *overrides: str) -> dict[str, Any]:
    """Composes an entry configuration to plain containers."""
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        composed = compose(verb, overrides=list(overrides))
    values = OmegaConf.to_container(composed, resolve=True, throw_on_missing=True)
    assert isinstance(values, dict)
    return {str(key): value for key, value in values.items()}


def train_config(*overrides: str) -> TrainConfig:
    """Composes a run's configuration as the command does."""
    return TrainConfig.model_validate(compose_values("train", *overrides))


def read_rows(metrics_file: Path) -> list[dict[str, str]]:
    """Reads `metrics.csv`, without what a clock measured: that differs from run to run."""
    with metrics_file.open(newline="") as file:
        return [
            {name: value for name, value in row.items() if name not in TIMES}
            for row in csv.DictReader(file)
        ]
