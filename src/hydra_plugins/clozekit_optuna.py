"""A Hydra sweeper that samples with Optuna.

Every Hydra application in the environment imports this module at startup. Other modules are
therefore imported only where they are needed. Nothing is added to the `ConfigStore`, which all
applications share: the sweeper's configuration is a file in `conf/hydra/sweeper/`, which only
clozekit finds. It is not named `optuna`, because the plugin hydra-optuna-sweeper uses that name.
"""

import itertools
from typing import TYPE_CHECKING, Any, Literal

from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.pruners import BasePruner
    from optuna.samplers import BaseSampler

    from hydra_plugins._clozekit_jobs import JobMaker


class OptunaSweeper(Sweeper):
    """Samples overrides from choices, ranges and intervals, and runs them as a sweep's jobs."""

    def __init__(
        self,
        n_trials: int,
        metric: str | None,
        direction: Literal["minimize", "maximize"] | None,
        storage: str | None,
        study_name: str | None,
        sampler: DictConfig,
        pruner: DictConfig,
        params: DictConfig | None,
    ) -> None:
        self.n_trials = n_trials
        self.metric = metric
        self.direction = direction
        self.storage = storage
        self.study_name = study_name
        self.sampler = sampler
        self.pruner = pruner
        self.params = params

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Checks the ends of the search space, before anything is written.

        Raises:
            UserError: A value is invalid, or Optuna is not installed.
        """
        from hydra.core.plugins import Plugins

        from clozekit.command import VerbTask
        from clozekit.config.sweeps import check_sweeper
        from clozekit.errors import ConfigError
        from hydra_plugins._clozekit_jobs import JobMaker

        assert isinstance(task_function, VerbTask), "this sweeper only works with clozekit"
        task_function.is_composed = True
        check_sweeper(config.hydra.sweeper)
        try:
            import optuna
        except ImportError as error:
            raise ConfigError(
                "hydra/sweeper=clozekit_optuna requires Optuna: run pip install 'clozekit[sweep]'"
            ) from error
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        if (self.metric is None) != (self.direction is None):
            raise ConfigError("set both hydra.sweeper.metric and hydra.sweeper.direction, or none")
        jobs = JobMaker(hydra_context, config)
        self.space = self._space(jobs)
        self._check_ends(jobs)
        if self.checked.config.trainer.fast_dev_run:
            raise ConfigError(
                "trainer.fast_dev_run writes no results, so Optuna has no metric to optimize"
            )
        if self.metric is not None and self.direction is not None:
            from clozekit.sweeps.goal import check_metric

            check_metric(self.metric, self.direction, self.checked.config)
        self._make_sampler(0)
        self._check_pruner()
        self.hydra_context = hydra_context
        self.config = config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> None:
        """Runs the study's trials."""
        from clozekit.config.composition.own_modules import import_from_here
        from clozekit.errors import ConfigError
        from clozekit.sweeps.goal import check_direction, direction_of
        from clozekit.sweeps.pruner import TrialPruner
        from clozekit.sweeps.study import Study
        from hydra_plugins.clozekit_launcher import SweepLauncher

        launcher = self.launcher
        if not isinstance(launcher, SweepLauncher):
            raise ConfigError(
                "hydra/sweeper=clozekit_optuna requires hydra/launcher=processes, which is the "
                "default, or submitit"
            )
        if self.direction is None:
            import_from_here([self.checked.config.task.target])
            self.direction = direction_of(self.checked.config)
        stored = self._study(launcher.jobs)
        check_direction(stored, self.direction)
        launcher.executor.is_pruned = self.is_pruned
        study = Study(
            stored,
            self.space,
            self.n_trials,
            self.metric,
            launcher.make_job,
            self._make_sampler,
            TrialPruner(stored, self._make_pruner) if self.is_pruned else None,
        )
        launcher.run_jobs(study)
        best = study.best()
        if best is not None:
            from clozekit.output.display import say

            say(best)

    def _space(self, jobs: "JobMaker") -> dict[str, "BaseDistribution"]:
        """Returns what is sampled. As in a grid, the last override of a key counts."""
        params = [f"{key!s}={value}" for key, value in (self.params or {}).items()]
        last = {_key(override): override for override in jobs.parse(params)}
        for override in jobs.parsed:
            if override.is_sweep_override():
                last[_key(override)] = override
            else:
                last.pop(_key(override), None)
        return {override.get_key_element(): _distribution(override) for override in last.values()}

    def _check_ends(self, jobs: "JobMaker") -> None:
        from clozekit.errors import ConfigError
        from clozekit.sweeps.goal import check_evaluated
        from clozekit.sweeps.study import ends

        if not self.space:
            raise ConfigError(
                "hydra/sweeper=clozekit_optuna has nothing to sample; set a key to choice(…), "
                "range(…) or interval(…)"
            )
        values = {key: ends(distribution) for key, distribution in self.space.items()}
        # Check each value once, not all combinations.
        for chosen in itertools.zip_longest(*values.values()):
            own = [
                f"{key}={value if value is not None else given[0]}"
                for (key, given), value in zip(values.items(), chosen, strict=True)
            ]
            self.checked = jobs.make(own)
            check_evaluated(self.metric, self.checked.config)

    def _study(self, jobs: "JobMaker") -> "Study":
        import optuna
        from sqlalchemy.exc import SQLAlchemyError

        from clozekit.errors import DataError
        from clozekit.files import refuse_links

        file = jobs.folder / "study.db"
        refuse_links(file)
        try:
            return optuna.create_study(
                study_name=self.study_name or jobs.name,
                storage=self.storage or f"sqlite:///{jobs.folder}/study.db",
                direction=self.direction,
                load_if_exists=True,
            )
        except (SQLAlchemyError, optuna.exceptions.StorageInternalError, RuntimeError) as error:
            reason = str(getattr(error, "orig", None) or error).partition("\n")[0]
            raise DataError(
                f"{self.storage or file} cannot be read as a study of Optuna ({reason}); restore "
                "it, or set another name"
            ) from error

    def _make_sampler(self, num_samples: int) -> "BaseSampler":
        """Makes the sampler of the next trial.

        Raises:
            ConfigError: The sampler rejects an argument.
        """
        from omegaconf import OmegaConf
        from optuna.samplers import BaseSampler, GridSampler, QMCSampler

        sampler: BaseSampler = self._make("sampler", self.sampler, BaseSampler)
        seed = self.sampler.get("seed")
        # The seed of these two determines one sequence, and the storage has the place in it.
        if seed is None or isinstance(sampler, GridSampler | QMCSampler):
            return sampler
        seeded: Any = OmegaConf.merge(self.sampler, {"seed": seed + num_samples})
        made: BaseSampler = self._make("sampler", seeded, BaseSampler)
        return made

    def _make_pruner(self) -> "BasePruner":
        """Makes a pruner.

        Raises:
            ConfigError: The pruner rejects an argument.
        """
        from optuna.pruners import BasePruner

        pruner: BasePruner = self._make("pruner", self.pruner, BasePruner)
        return pruner

    def _make(self, key: str, group: DictConfig, kind: type) -> Any:
        from omegaconf import OmegaConf

        from clozekit.config.composition.build import build, check_kind
        from clozekit.config.composition.own_modules import import_from_here

        plain = OmegaConf.to_container(group, resolve=True)
        assert isinstance(plain, dict)
        values = {str(name): value for name, value in plain.items()}
        target = str(values.get("_target_"))
        import_from_here([target])
        made = build(f"hydra.sweeper.{key}", values)
        check_kind(f"hydra.sweeper.{key}", target, made, kind)
        return made

    def _check_pruner(self) -> None:
        from optuna.pruners import NopPruner

        from clozekit.errors import ConfigError

        self.is_pruned = not isinstance(self._make_pruner(), NopPruner)
        config = self.checked.config
        validates = config.validate_every_n_steps or config.trainer.val_check_interval
        if self.is_pruned and not validates:
            raise ConfigError(
                f"hydra.sweeper.pruner._target_={self.pruner.get('_target_')} compares validations "
                "during training; set validate_every_n_steps"
            )


def _key(override: "Override") -> str:
    return override.get_key_element().lstrip("+~")


def _distribution(override: "Override") -> "BaseDistribution":
    from hydra.core.override_parser.types import IntervalSweep, RangeSweep
    from optuna.distributions import CategoricalDistribution

    from clozekit.errors import ConfigError

    if not override.is_sweep_override():
        return CategoricalDistribution([override.get_value_element_as_str()])
    value: Any = override.value()
    tags = getattr(value, "tags", ())
    is_range = isinstance(value, RangeSweep)
    is_whole = is_range and all(
        isinstance(end, int) for end in (value.start, value.stop, value.step)
    )
    may_be_log = isinstance(value, IntervalSweep) or (is_whole and abs(value.step) == 1)
    for tag in tags:
        if tag != "log" or not may_be_log:
            raise ConfigError(
                f"{override.input_line}: the only tag is log, of an interval(…) or of a range(…) "
                "of whole numbers in steps of 1"
            )
    try:
        if isinstance(value, IntervalSweep):
            return _between(value.start, value.end, log="log" in tags)
        if is_range:
            # Hydra's range excludes its stop.
            drawn = sorted(float(text) for text in override.sweep_string_iterator())
            whole_or_not = int if is_whole else float
            step = whole_or_not(abs(float(value.step)))
            more = {"log": True} if "log" in tags else {"step": step}
            return _between(whole_or_not(drawn[0]), whole_or_not(drawn[-1]), **more)
        return CategoricalDistribution(list(override.sweep_string_iterator()))
    except ValueError as error:
        raise ConfigError(f"{override.input_line}: {error}") from error


def _between(low: Any, high: Any, **more: Any) -> "BaseDistribution":
    from optuna.distributions import FloatDistribution, IntDistribution

    if isinstance(low, int) and isinstance(high, int):
        return IntDistribution(low, high, **more)
    return FloatDistribution(float(low), float(high), **more)
