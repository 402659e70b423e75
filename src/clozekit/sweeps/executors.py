"""Makes the executor that a launcher's configuration describes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clozekit.config.checks.checking import checked
from clozekit.config.sweeps import LAUNCHERS, ProcessesLauncherConfig, SubmititLauncherConfig
from clozekit.errors import ConfigError
from clozekit.sweeps.processes import LocalExecutor
from clozekit.sweeps.submission import SubmititExecutor


def make_executor(
    launcher: Mapping[str, Any], sweep: str, folder: Path
) -> LocalExecutor | SubmititExecutor:
    """Makes an executor.

    Args:
        launcher: The keys of `hydra.launcher`.
        sweep: The name of the sweep.
        folder: The folder of the sweep.

    Raises:
        ConfigError: The launcher is not one of clozekit's, or a value is invalid.
    """
    target = str(launcher["_target_"])
    if target not in LAUNCHERS:
        raise ConfigError(
            f"hydra/launcher: {target} is not supported here; use processes or submitit"
        )
    arguments = {key: value for key, value in launcher.items() if key != "_target_"}
    given = checked("hydra.launcher", LAUNCHERS[target], arguments)
    if isinstance(given, ProcessesLauncherConfig):
        return LocalExecutor(sweep, given.n_jobs, given.fork_server)
    assert isinstance(given, SubmititLauncherConfig)
    return SubmititExecutor(
        sweep, folder, given.n_jobs, given.cluster, given.timeout_min, given.parameters
    )
