"""Runs the tasks of a stage as tasks of Ray, on this machine or on a cluster."""

import logging
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any

from clozekit.config.executor import RayExecutorConfig
from clozekit.corpus.engines.bundles import Bundles, bundle_size, run_bundle
from clozekit.corpus.engines.stage import Stage
from clozekit.environment import num_cores
from clozekit.errors import ConfigError, ExecutorError, first_line
from clozekit.processes.signals import delayed_signals

SECONDS_BETWEEN_LOOKS = 0.5
SECONDS_TO_CANCEL = 60.0
SECONDS_TO_CONNECT = 10.0

_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    # Without it, Ray warns of a future change for tasks without GPUs.
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}


def check_installed() -> None:
    """Checks that Ray is there.

    Raises:
        ConfigError: It is not.
    """
    if find_spec("ray") is None:
        raise ConfigError("executor=ray requires Ray: run pip install 'clozekit[ray]'")


@contextmanager
def connected(config: RayExecutorConfig) -> Iterator[None]:
    """Starts Ray or joins a cluster, and leaves it at the end.

    Raises:
        ExecutorError: The cluster cannot be joined, or no node has the cores of a task.
    """
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    import ray

    if ray.is_initialized():  # by a program that calls `prepare`
        yield
        return
    options: dict[str, Any] = {"address": config.address}
    if config.address is None:
        cores = max(num_cores(), config.cpus_per_task)
        options = {"address": "local", "num_cpus": cores, "include_dashboard": False}
    else:
        _check_address(config.address)
    # Ray's own handler of SIGTERM does not stay.
    with delayed_signals():
        try:
            ray.init(log_to_driver=False, logging_level=logging.ERROR, **options)
        except Exception as error:  # Ray raises errors of many kinds.
            raise _refusal(config.address, error) from error
    try:
        _check_nodes(config, ray.nodes())
        yield
    finally:
        ray.shutdown()


def run_stage(stage: Stage, numbers: Sequence[int], config: RayExecutorConfig) -> None:
    """Runs tasks on Ray, and waits until all are done or one of them fails.

    Args:
        stage: The stage.
        numbers: The numbers of the tasks.
        config: The options of the tasks.

    Raises:
        WorkerError: The processes of a task ended again and again.
        Exception: A task failed with it.
    """
    import ray

    size = bundle_size(len(numbers), config.tasks_per_job)
    bundles = Bundles.of(stage, numbers, size, stage.work.config.workers)
    # Ray would run a lost bundle again from its start, and counts the losses of all of its tasks.
    options = {"num_cpus": config.cpus_per_task, "memory": _memory(config) or None}
    task = ray.remote(max_retries=0, **options)(run_bundle)
    arguments = (stage, config.cpus_per_task, str(Path.cwd()))
    references: dict[Any, str] = {}
    names = map(str, count())
    with delayed_signals() as call_handlers, _cancelling(references):
        while not bundles.look():
            call_handlers()
            for bundle in bundles.take():
                name = next(names)
                references[task.remote(*arguments, bundle)] = name
                bundles.running[name] = bundle
            ready, _ = ray.wait(list(references), timeout=SECONDS_BETWEEN_LOOKS)
            reasons = {references.pop(reference): _reason(reference) for reference in ready}
            if reasons:
                bundles.ended(list(reasons), reasons.__getitem__)


def _reason(reference: Any) -> str:
    """Returns what Ray says about the end of a task."""
    import ray

    try:
        ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        return f"a task of Ray, which failed: {error.cause}"
    except ray.exceptions.RayError as error:
        return f"a task of Ray, which was lost: {first_line(error)}"
    return "a task of Ray, whose files are not here; do all nodes share the folder?"


@contextmanager
def _cancelling(references: dict[Any, str]) -> Iterator[None]:
    """Kills the processes of tasks at an error, and waits for their end."""
    import ray

    try:
        yield
    except BaseException:
        with suppress(ray.exceptions.RayError):
            for reference in references:
                ray.cancel(reference, force=True)
            if references:
                number = len(references)
                ray.wait(list(references), num_returns=number, timeout=SECONDS_TO_CANCEL)
        raise


def _check_address(address: str) -> None:
    """Checks that a cluster can be reached, which Ray itself tries for minutes.

    Raises:
        ExecutorError: It cannot.
    """
    host, colon, port = address.rpartition("://")[2].rpartition(":")
    if not colon:
        return  # such as `auto`
    try:
        socket.create_connection((host.strip("[]"), int(port)), SECONDS_TO_CONNECT).close()
    except (OSError, ValueError) as error:
        raise _refusal(address, error) from error


def _check_nodes(config: RayExecutorConfig, nodes: list[dict[str, Any]]) -> None:
    """Checks that a node has what a task needs, which Ray would wait for without end.

    Raises:
        ExecutorError: No node has it.
    """
    wanted = {"CPU": config.cpus_per_task, "memory": _memory(config)}
    resources = [node["Resources"] for node in nodes if node["Alive"]]
    if not any(all(has.get(name, 0) >= n for name, n in wanted.items()) for has in resources):
        most = [max((has.get(name, 0) for has in resources), default=0) for name in wanted]
        raise ExecutorError(
            f"executor.cpus_per_task={config.cpus_per_task} and mem_per_cpu_gb="
            f"{config.mem_per_cpu_gb}: no node of Ray has as much; they have up to {most[0]:.0f} "
            f"cores and {most[1] / 2**30:.1f} GiB"
        )


def _memory(config: RayExecutorConfig) -> int:
    """Returns the number of bytes to reserve for a task."""
    return int((config.mem_per_cpu_gb or 0) * config.cpus_per_task * 2**30)


def _refusal(address: str | None, error: Exception) -> ExecutorError:
    return ExecutorError(
        f"executor.address={address}: Ray cannot be started or joined: {first_line(error)}"
    )
