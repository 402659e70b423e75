"""Jobs that Optuna draws: a study that can be killed and goes on, without a trial done twice."""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pkgutil import resolve_name
from typing import Literal

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.trial import FrozenTrial, TrialState

from clozekit.config.train import TrainConfig
from clozekit.errors import ConfigError
from clozekit.sweeps.job import Job, Status
from clozekit.sweeps.naming import job_name

OVERRIDES = "overrides"
"""The attribute of a trial that holds its job's overrides; without it the trial was never begun."""

MOST_REPEATS = 100
"""So many drawn values in a row that were all tried before mean that there are no others."""


class Study:
    """The source of a sweep's jobs that Optuna's sampler draws.

    The storage knows all trials, and a trial's job is named by its parameters, so its folder is
    found again. Run again, the study first goes through the trials that it knows: those that have
    finished are not run again, those that a kill has left running go on in their folders, and those
    that have failed are run again. Only then it draws new ones, up to the number in all. What the
    sampler draws a second time is no new trial and is marked as failed at once.

    Args:
        study: Optuna's.
        space: What is drawn, by the overrides' keys.
        n_trials: How many trials there are to be in all.
        metric: The metric that is optimised, of a job's results; None for the one that the job is
            judged by, which a task may choose by its data.
        make_job: Makes a job from its overrides, and checks it.
    """

    def __init__(
        self,
        study: optuna.Study,
        space: Mapping[str, BaseDistribution],
        n_trials: int,
        metric: str | None,
        make_job: Callable[[Sequence[str]], Job],
    ) -> None:
        self.total = n_trials
        self._study = study
        self._space = dict(space)
        self._metric = metric
        self._make_job = make_job
        self._trials: dict[str, int] = {}
        self._known: deque[tuple[Job, FrozenTrial]] = deque()
        for trial in self._begun():
            # Of a job that was run again the last trial counts.
            self._trials[job_name(trial.user_attrs[OVERRIDES])] = trial.number
        for trial in self._begun():
            if trial.number in self._trials.values():
                self._known.append((make_job(trial.user_attrs[OVERRIDES]), trial))
        self.total = max(n_trials, len(self._known))

    def _begun(self) -> list[FrozenTrial]:
        return [t for t in self._study.get_trials(deepcopy=False) if OVERRIDES in t.user_attrs]

    def take(self) -> Job | None:
        """Gives a known job that is to be looked at, else a new one."""
        if self._known:
            job, trial = self._known.popleft()
            if trial.state == TrialState.FAIL:
                self._trials[job.name] = self._again(trial)
            return job
        if len(self._trials) >= self.total:
            return None
        return self._draw()

    def _again(self, failed: FrozenTrial) -> int:
        """Adds a trial for the second attempt at a failed one, whose own is closed for good."""
        self._study.add_trial(
            optuna.trial.create_trial(
                state=TrialState.RUNNING,
                params=failed.params,
                distributions=failed.distributions,
                user_attrs=failed.user_attrs,
            )
        )
        return self._study.get_trials(deepcopy=False)[-1].number

    def _draw(self) -> Job | None:
        for _ in range(MOST_REPEATS):
            try:
                trial = self._study.ask(self._space)
            except ValueError as error:
                raise ConfigError(
                    f"the study {self._study.study_name} was begun with another search space "
                    f"({error}): give the sweep another name=…"
                ) from error
            overrides = [f"{key}={as_text(value)}" for key, value in trial.params.items()]
            name = job_name(overrides)
            if name not in self._trials:
                trial.set_user_attr(OVERRIDES, overrides)
                self._trials[name] = trial.number
                return self._make_job(overrides)
            self._study.tell(trial, state=TrialState.FAIL)
        print(
            f"{MOST_REPEATS} draws in a row were tried before: there is nothing new to draw after "
            f"{len(self._trials)} trials",
            flush=True,
        )
        self.total = len(self._trials)
        return None

    def ended(self, job: Job, status: Status) -> None:
        """Tells the study the metric; an interrupted trial stays open, to be gone on with.

        Raises:
            ConfigError: The job's results do not have the metric.
        """
        number = self._trials[job.name]
        if status == Status.FINISHED:
            # Not a number makes it a failed trial.
            self._study.tell(number, self._value(job), skip_if_finished=True)
        elif status == Status.FAILED:
            self._study.tell(number, state=TrialState.FAIL, skip_if_finished=True)

    def _value(self, job: Job) -> float:
        monitored, results = job.monitored(), job.results() or {}
        if self._metric is None and monitored is not None:
            self._metric = monitored[0]
        if self._metric not in results:
            raise ConfigError(
                f"hydra.sweeper.metric={self._metric}: the results of {job.name} have "
                f"{', '.join(sorted(results))}"
            )
        return results[self._metric]

    def best(self) -> str | None:
        """Tells of the best trial in a line; None where none has finished."""
        complete = self._study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])
        if not complete:
            return None
        trial = self._study.best_trial
        name = job_name(trial.user_attrs[OVERRIDES])
        return f"best of {len(complete)} trials: {name}, {self._metric} {trial.value:.4g}"


def as_text(value: object) -> str:
    """Writes a drawn value as that of an override; choices are drawn as they were written."""
    return value if isinstance(value, str) else repr(value)


def ends(distribution: BaseDistribution) -> list[str]:
    """Lists the values by which a distribution can be checked: all choices, or both ends."""
    if isinstance(distribution, CategoricalDistribution):
        return [as_text(choice) for choice in distribution.choices]
    assert isinstance(
        distribution, optuna.distributions.FloatDistribution | optuna.distributions.IntDistribution
    )
    return [as_text(distribution.low), as_text(distribution.high)]


def direction_of(config: TrainConfig) -> Literal["minimize", "maximize"]:
    """Tells whether the metric that a run is judged by is best where it is small or large.

    The task's class is asked, so it is imported, and torch with it.
    """
    checkpoints = config.callbacks.get("checkpoints")
    mode = (checkpoints.model_extra or {}).get("mode", "auto") if checkpoints else "auto"
    if mode == "auto":
        mode = resolve_name(config.task.target).monitor_mode
    return "minimize" if mode == "min" else "maximize"
