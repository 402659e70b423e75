"""Schemas of launchers and sweepers: the keys of `hydra.launcher` and `hydra.sweeper`."""

from typing import Any, Literal

from omegaconf import DictConfig, OmegaConf
from pydantic import field_validator

from clozekit.config.checks.checking import checked
from clozekit.config.groups import Closed
from clozekit.config.values import Count

SPLITS = ("validation/", "test/")
"""How the names of the metrics of a run's results begin."""


class ProcessesLauncherConfig(Closed):
    """The arguments of `hydra_plugins.clozekit_launcher.ProcessesLauncher`."""

    n_jobs: Count
    fork_server: bool
    fail_fast: bool


class SubmititLauncherConfig(Closed):
    """The arguments of `hydra_plugins.clozekit_launcher.SubmititLauncher`."""

    cluster: str
    n_jobs: Count
    timeout_min: Count
    parameters: dict[str, Any]
    fail_fast: bool


class OptunaSweeperConfig(Closed):
    """The arguments of `hydra_plugins.clozekit_optuna.OptunaSweeper`."""

    n_trials: Count
    metric: str | None
    direction: Literal["minimize", "maximize"] | None
    storage: str | None
    study_name: str | None
    sampler: dict[str, Any]
    pruner: dict[str, Any]
    params: dict[str, Any] | None

    @field_validator("metric")
    @classmethod
    def _check_metric(cls, metric: str | None) -> str | None:
        # Before the first trial; whether a run has the metric depends on its task and its data.
        if metric not in (None, "step") and not str(metric).startswith(SPLITS):
            raise ValueError(
                f"{metric}: it should be a metric in results.json, such as validation/loss; their "
                f"names begin with {' or '.join(SPLITS)}"
            )
        return metric


LAUNCHERS: dict[str, type[Closed]] = {
    "hydra_plugins.clozekit_launcher.ProcessesLauncher": ProcessesLauncherConfig,
    "hydra_plugins.clozekit_launcher.SubmititLauncher": SubmititLauncherConfig,
}


def check_launcher(group: DictConfig) -> None:
    """Checks the values of `hydra.launcher`.

    Raises:
        ConfigError: A value is invalid.
    """
    checked("hydra.launcher", LAUNCHERS[str(group._target_)], _arguments(group))


def check_sweeper(group: DictConfig) -> None:
    """Checks the values of `hydra.sweeper`.

    Raises:
        ConfigError: A value is invalid.
    """
    checked("hydra.sweeper", OptunaSweeperConfig, _arguments(group))


def _arguments(group: DictConfig) -> dict[str, Any]:
    values = OmegaConf.to_container(group, resolve=True)
    assert isinstance(values, dict)
    return {str(k): v for k, v in values.items() if k not in ("_target_", "_recursive_")}
