"""Converts Hydra's overrides to the jobs of a sweep."""

import copy
import shlex
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.utils import env_override
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig, ListConfig, OmegaConf, open_dict

from clozekit.config.checks.components import check_components
from clozekit.config.checks.without_effect import check_effects
from clozekit.config.composition.inherited import check_decay_ratio
from clozekit.config.composition.location import conf_dir
from clozekit.config.train import TrainConfig
from clozekit.errors import ConfigError
from clozekit.sweeps.job import Job
from clozekit.sweeps.naming import NAME_OF_SWEEP, job_name
from clozekit.verbs import validated

OF_THE_SWEEP = ("name", "runs_dir", "resume")

HYDRAS_OF_THE_SWEEP = (
    *("hydra/launcher", "hydra/sweeper", "hydra.launcher", "hydra.sweeper", "hydra.sweep."),
    "hydra.mode",
)
"""The beginnings of the keys of Hydra that say how jobs are started. The others are of each job."""


def command_line() -> str:
    """Returns the command line that started the sweep, without the program's path."""
    return shlex.join(["clozekit", "train", *sys.argv[1:]])


class JobMaker:
    """Makes a sweep's jobs from a sweeper's overrides.

    Args:
        context: Hydra's context, which composes configurations.
        config: The sweep's configuration, which is that of a job without the swept values.

    Attributes:
        name: The sweep's name.
        folder: The sweep's folder.
        parsed: The overrides of the command line; of several of one key, the last one.
        fixed: The overrides that all jobs share, as on the command line.
        swept_as_given: The swept overrides, as on the command line.

    Raises:
        ConfigError: The sweep has no name, or an override cannot be swept.
    """

    def __init__(self, context: HydraContext, config: DictConfig) -> None:
        self._context = context
        self._config = _without_mode(config)
        self._parser = OverridesParser.create(config_loader=context.config_loader)
        self.parsed = _last_of_each_key(self.parse(_as_given(config.hydra.overrides.task)))
        fixed = [override for override in self.parsed if not override.is_sweep_override()]
        self.fixed = [str(o.input_line) for o in fixed if o.key_or_group not in ("name", "resume")]
        self.swept_as_given = [str(o.input_line) for o in self.parsed if o.is_sweep_override()]
        self._fixed = {_as_text(override) for override in fixed}
        if OmegaConf.is_missing(config, "name"):
            raise ConfigError("name is missing; set name=… to the sweep's name")
        self.name = str(config.name)
        if not NAME_OF_SWEEP.fullmatch(self.name):
            raise ConfigError(
                f"name={self.name}: a sweep's name can contain only letters, digits and . _ - + /"
            )
        self.folder = Path(str(config.runs_dir)) / self.name

    def parse(self, overrides: list[str]) -> list[Override]:
        """Parses overrides.

        Raises:
            ConfigError: An override cannot be used in a sweep.
        """
        parsed = self._parser.parse_overrides(overrides)
        for override in parsed:
            _check_override(override)
        return parsed

    def grid(self) -> Iterator[list[str]]:
        """Yields the overrides of all jobs, as Hydra's basic sweeper will.

        Raises:
            ConfigError: An override is not a list of values.
        """
        params = [
            f"{key}={value}" for key, value in (self._config.hydra.sweeper.params or {}).items()
        ]
        given = self._parser.parse_overrides(params)
        for override in given:
            _check_override(override)
        counting = _last_of_each_key([*given, *self.parsed])
        for override in counting:
            _check_values(override)
        for batch in BasicSweeper.split_arguments(counting, None):
            yield from batch

    def make(self, overrides: Sequence[str]) -> Job:
        """Composes and checks a job.

        Args:
            overrides: All overrides of the job, from the sweeper.

        Raises:
            UserError: The configuration is invalid.
            HydraException: The configuration cannot be composed.
        """
        parsed = self._parser.parse_overrides(list(overrides))
        own = [text for text in map(_as_text, parsed) if text not in self._fixed]
        name = job_name(own)
        run = [*self.fixed, *own, f"name={self.name}/{name}", "resume=auto"]
        config, mode = self._compose(run)
        if config.plan:
            raise ConfigError(
                "plan=true prints what one run would take; use it without -m, with one value of "
                "each key"
            )
        check_decay_ratio(config, run)
        check_effects(config, run, [override.partition("=")[0].lstrip("+") for override in own])
        # An experiment that is a sweep would start itself again in each of its jobs.
        single = [f"hydra.mode={RunMode.RUN.name}"] if mode == RunMode.MULTIRUN else []
        arguments = ("train", *self._options(), *single, *run)
        return Job(name, tuple(own), arguments, config)

    def _options(self) -> list[str]:
        """Returns the options and the keys of Hydra on the command line that a job has too."""
        options = []
        for source in self._config.hydra.runtime.config_sources:
            if source.provider == "command-line":
                options += ["--config-dir", source.path]
            elif source.provider == "main" and source.path != str(conf_dir()):
                options += ["--config-path", source.path]
        if self._config.hydra.job.config_name != "train":
            options += ["--config-name", self._config.hydra.job.config_name]
        given = _as_given(self._config.hydra.overrides.hydra)
        return [*options, *(o for o in given if not o.lstrip("+~").startswith(HYDRAS_OF_THE_SWEEP))]

    def _compose(self, overrides: list[str]) -> tuple[TrainConfig, RunMode | None]:
        """Composes a job. The mode is that of the files of the configuration, if they have one."""
        composed = self._context.config_loader.load_sweep_config(self._config, overrides)
        HydraConfig.instance().set_config(composed)  # for ${hydra:…} interpolations
        mode, env_set = composed.hydra.mode, composed.hydra.job.env_set
        with open_dict(composed):
            del composed["hydra"]
        with env_override(env_set):
            config = validated(composed, TrainConfig)
            check_components(config)
        return config, mode


def _without_mode(config: DictConfig) -> DictConfig:
    """Leaves out the mode that Hydra adds for `--multirun`: each job is a single run."""
    config = copy.deepcopy(config)
    given = config.hydra.overrides
    with open_dict(given):
        given.hydra = [o for o in _as_given(given.hydra) if not o.startswith("hydra.mode=")]
    return config


def _as_given(overrides: ListConfig) -> list[str]:
    """Returns overrides as on the command line: their interpolations are those of each job."""
    texts = OmegaConf.to_container(overrides, resolve=False)
    assert isinstance(texts, list)
    return [str(text) for text in texts]


def _last_of_each_key(overrides: Sequence[Override]) -> list[Override]:
    """Leaves out overrides that a later one of the same key replaces."""
    last = {override.get_key_element(): number for number, override in enumerate(overrides)}
    return [
        override
        for number, override in enumerate(overrides)
        if override.is_delete() or last[override.get_key_element()] == number
    ]


def _check_override(override: Override) -> None:
    key = override.key_or_group
    if key in OF_THE_SWEEP and override.is_sweep_override():
        raise ConfigError(f"{override.input_line}: {key} belongs to the sweep and cannot be swept")
    if key == "resume" and override.value() not in ("auto", None):
        raise ConfigError(
            f"{override.input_line}: the jobs of a sweep resume from their own checkpoints; to "
            "start from another run's weights, set encoder.pretrained=…"
        )


def _check_values(override: Override) -> None:
    """Checks that a grid can have the values of an override: those of an interval have no end."""
    if not override.is_sweep_override():
        return
    tags = getattr(override.value(), "tags", ())
    function = f"tag({min(tags)},…)" if tags else "interval(…)"
    if tags or not override.is_discrete_sweep():
        raise ConfigError(
            f"{override.input_line}: {function} needs hydra/sweeper=clozekit_optuna; without it, "
            "give all values, as in 1,2,3"
        )


def _as_text(override: Override) -> str:
    return f"{override.get_key_element()}={override.get_value_element_as_str()}"
