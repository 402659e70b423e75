"""A training over two nodes loses one, is started again, and ends as if nothing had been."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.harness.running import torchrun_variables
from tests.programs.commands import COMMAND, QUIET, TINY, environment_with_tests, run_clozekit
from tests.programs.nodes import Node, plug_in, two_nodes, why_not
from tests.programs.test_signals import processes_in

SECONDS = 30
PORT = 29517
Launcher = Callable[[tuple[Node, Node], int], tuple[list[str], dict[str, str]]]
REASON = why_not()
pytestmark = [pytest.mark.slow, pytest.mark.skipif(REASON is not None, reason=str(REASON))]


@dataclass
class Started:
    """torchrun on a node, and its output."""

    process: subprocess.Popen[str]
    log: Path

    def kill(self) -> None:
        """Kills all processes of the node."""
        for line in processes_in(self.process.pid):
            os.kill(int(line.split()[1]), signal.SIGKILL)


def arguments(corpus: Path, name: str, max_steps: int = 16) -> list[str]:
    return [
        *("train", f"name={name}", f"data.path={corpus}", *TINY, *QUIET, "resume=auto"),
        *(f"max_steps={max_steps}", "global_batch_size=8", "micro_batch_size=4"),
        *("trainer=ddp_cpu", "trainer.precision=64-true", "callbacks.checkpoints.every_n_steps=1"),
    ]


def torchrun(nodes: tuple[Node, Node], rank: int) -> tuple[list[str], dict[str, str]]:
    """What starts a node's process by torchrun, and the variables that it needs."""
    command = [
        *(sys.executable, "-m", "torch.distributed.run"),
        *("--nnodes=2", f"--node-rank={rank}", "--nproc-per-node=1"),
        *("--rdzv-backend=static", f"--master-addr={nodes[0].address}"),
        *(f"--master-port={PORT}", "-m", "clozekit"),
    ]
    return command, {}


def directly(nodes: tuple[Node, Node], rank: int) -> tuple[list[str], dict[str, str]]:
    """The same without torchrun, with the variables that it sets."""
    variables = torchrun_variables(rank, 2, PORT)
    of_node = {"MASTER_ADDR": nodes[0].address, "LOCAL_RANK": "0", "GROUP_RANK": str(rank)}
    return list(COMMAND), variables | of_node | {"LOCAL_WORLD_SIZE": "1"}


def start(
    nodes: tuple[Node, Node], folder: Path, launcher: Launcher, *overrides: str
) -> list[Started]:
    """Starts a process on both nodes, in a session of its own each."""
    started = []
    for rank, node in enumerate(nodes):
        log = folder / f"node{rank}.log"
        command, variables = launcher(nodes, rank)
        with log.open("w") as output:
            process = subprocess.Popen(
                [
                    *(*node.command, *command, *overrides),
                    *("trainer.devices=1", "trainer.num_nodes=2"),
                ],
                cwd=folder,
                env=environment_with_tests() | variables | {"GLOO_SOCKET_IFNAME": node.interface},
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
        started.append(Started(process, log))
    return started


def weights(run: Path) -> dict[str, Tensor]:
    checkpoint = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    assert checkpoint["global_step"] == 16
    state: dict[str, Tensor] = checkpoint["state_dict"]
    return state


def wait_until(is_so: Callable[[], bool], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while not is_so() and time.monotonic() < deadline:
        time.sleep(0.05)


def test_a_node_is_cut_off_and_the_training_ends_with_the_right_weights(
    corpus: Path, tmp_path: Path
) -> None:
    whole = run_clozekit(*arguments(corpus, "whole"), cwd=tmp_path)
    assert whole.returncode == 0, whole.stderr
    slow_steps = ("_target_=tests.programs.slow_steps.SlowSteps", "seconds=0.5")
    started: list[Started] = []
    try:
        with two_nodes() as nodes:
            slowly = [f"+callbacks.slow_steps.{value}" for value in slow_steps]
            started = start(nodes, tmp_path, torchrun, *arguments(corpus, "run"), *slowly)
            first, second = started
            checkpoint = tmp_path / "runs" / "run" / "checkpoints" / "last.ckpt"
            wait_until(checkpoint.exists, 120)
            assert checkpoint.exists(), first.log.read_text() + second.log.read_text()

            nodes[1].unplug()
            second.kill()
            cut_off = time.monotonic()
            wait_until(lambda: first.process.poll() is not None, SECONDS + 5)
            assert time.monotonic() - cut_off < SECONDS
            assert first.process.returncode == 1
            assert processes_in(first.process.pid) == []
            assert "clozekit train: rank 1 (process " in first.log.read_text()

            plug_in(nodes[1])
            started = start(nodes, tmp_path, directly, *arguments(corpus, "run"))
            codes = [each.process.wait(timeout=120) for each in started]
            logs = "\n".join(each.log.read_text() for each in started)
            assert codes == [0, 0], logs
            assert "resumed at step " in logs
    finally:
        for each in started:
            each.kill()
    expected, resumed = (weights(tmp_path / "runs" / name) for name in ("whole", "run"))
    assert resumed.keys() == expected.keys()
    assert all(torch.equal(resumed[name], tensor) for name, tensor in expected.items())
