"""Jobs sampled by Optuna, in a study that can be killed and continued without repeating trials."""

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState

from clozekit.config.stored.plain import shown
from clozekit.errors import ConfigError
from clozekit.output.display import say
from clozekit.runs.pruning_files import Answer, read_answer, read_report, write_answer
from clozekit.sweeps.job import InvalidJobError, Job, Status
from clozekit.sweeps.naming import job_name
from clozekit.sweeps.pruner import TrialPruner

OVERRIDES = "overrides"
"""The trial attribute that shows that the job was started. Its value is never used: a storage may
come from someone else, and overrides can name any class."""

METRIC = "metric"
"""The study attribute that names the metric of its values. Studies of earlier versions lack it."""

MOST_REPEATS = 100
"""After this many samples in a row that are duplicates or left out, the search space counts as
exhausted."""


class Study:
    """A source of jobs that are sampled by Optuna.

    The storage contains all trials, and a job's name follows from its trial's parameters, so its
    folder is found again. When the study is run again, it first goes through the existing trials:
    finished and pruned ones are not repeated, interrupted ones continue in their folders, and
    failed ones are run again. Then it samples new trials up to the total number. A sample that is a
    duplicate, or whose values exclude each other, does not count as a trial and is marked as failed
    at once.

    Args:
        study: The Optuna study.
        space: The distribution of each override key.
        n_trials: The total number of trials.
        metric: The metric to optimize, from the jobs' results; None for the metric that the jobs
            monitor, which a task may choose depending on its data.
        make_job: Makes a job from its overrides, and checks it.
        make_sampler: Makes the sampler of the next trial from the number of samples so far. So
            the samples after a kill are those that would have followed without it.
        pruner: Decides which trials end early; None for none.
    """

    def __init__(
        self,
        study: optuna.Study,
        space: Mapping[str, BaseDistribution],
        n_trials: int,
        metric: str | None,
        make_job: Callable[[Sequence[str]], Job],
        make_sampler: Callable[[int], BaseSampler],
        pruner: TrialPruner | None = None,
    ) -> None:
        self.total = n_trials
        self._study = study
        self._space = dict(space)
        self._metric = metric
        self._make_job = make_job
        self._make_sampler = make_sampler
        self._pruner = pruner
        self._trials: dict[str, int] = {}
        self._known: deque[tuple[Job, FrozenTrial]] = deque()
        for trial in self._begun():
            # If a job was run again, its last trial counts.
            self._trials[job_name(self._overrides(trial))] = trial.number
        for trial in self._begun():
            if trial.number in self._trials.values():
                self._know(trial)
        begun = [metric, *(job.monitor() for job, _ in self._known)]
        self._check_metric(next(filter(None, begun), None))
        self.total = max(n_trials, len(self._known))

    def _know(self, trial: FrozenTrial) -> None:
        """Adds the job of an existing trial, unless it is invalid and never had results."""
        overrides = self._overrides(trial)
        try:
            self._known.append((self._make_job(overrides), trial))
        except InvalidJobError as error:
            if trial.state not in (TrialState.RUNNING, TrialState.FAIL):
                raise
            del self._trials[job_name(overrides)]
            self._leave_out(overrides, error)
            self._study.tell(trial.number, state=TrialState.FAIL, skip_if_finished=True)

    def _leave_out(self, overrides: list[str], error: InvalidJobError) -> None:
        say(f"{', '.join(overrides)} is left out: {error}")

    def _begun(self) -> list[FrozenTrial]:
        return [t for t in self._study.get_trials(deepcopy=False) if OVERRIDES in t.user_attrs]

    def _overrides(self, trial: FrozenTrial | optuna.Trial) -> list[str]:
        """Returns the overrides of a trial, from the values of its parameters alone.

        Raises:
            ConfigError: The trial has other keys than the search space, or a value that could not
                be sampled.
        """
        if trial.params.keys() == self._space.keys():
            values = {key: trial.params[key] for key in self._space}
            if all(_can_be(self._space[key], value) for key, value in values.items()):
                return [f"{key}={as_text(value)}" for key, value in values.items()]
        raise ConfigError(
            f"the study {self._study.study_name} has a different search space (trial "
            f"{trial.number} is {shown(str(trial.params))}); use another name=… for the sweep"
        )

    def take(self) -> Job | None:
        """Returns the next existing job, or else a new one."""
        if self._known:
            job, trial = self._known.popleft()
            if trial.state == TrialState.FAIL:
                self._trials[job.name] = self._again(trial)
            return job
        if len(self._trials) >= self.total:
            return None
        return self._draw()

    def _again(self, failed: FrozenTrial) -> int:
        """Adds a trial for another attempt at a failed one, because Optuna cannot reopen trials."""
        self._study.add_trial(
            optuna.trial.create_trial(
                state=TrialState.RUNNING,
                params=failed.params,
                distributions=failed.distributions,
                intermediate_values=failed.intermediate_values,
                user_attrs=failed.user_attrs,
            )
        )
        return self._study.get_trials(deepcopy=False)[-1].number

    def _draw(self) -> Job | None:
        for _ in range(MOST_REPEATS):
            self._study.sampler = self._make_sampler(self._num_samples())
            try:
                trial = self._study.ask(self._space)
            except ValueError as error:
                raise ConfigError(
                    f"the study {self._study.study_name} has a different search space ({error}); "
                    "use another name=… for the sweep"
                ) from error
            overrides = self._overrides(trial)
            name = job_name(overrides)
            if name in self._trials:
                self._study.tell(trial, state=TrialState.FAIL)
                continue
            try:
                job = self._make_job(overrides)
            except InvalidJobError as error:
                # Values that exclude each other; each alone is valid.
                self._leave_out(overrides, error)
                self._study.tell(trial, state=TrialState.FAIL)
                continue
            trial.set_user_attr(OVERRIDES, True)
            self._trials[name] = trial.number
            return job
        say(
            f"the last {MOST_REPEATS} samples were duplicates or left out; stopping after "
            f"{len(self._trials)} trials"
        )
        self.total = len(self._trials)
        return None

    def _num_samples(self) -> int:
        """Counts the samples so far, without one that a kill left before its job began."""
        trials = self._study.get_trials(deepcopy=False)
        return sum(OVERRIDES in t.user_attrs or t.state == TrialState.FAIL for t in trials)

    def _trial(self, job: Job) -> FrozenTrial:
        return self._study.get_trials(deepcopy=False)[self._trials[job.name]]

    def is_pruned(self, job: Job) -> bool:
        """Whether a job was pruned by an earlier start of the sweep."""
        return self._trial(job).state == TrialState.PRUNED

    def answer(self, job: Job) -> None:
        """Answers the report of a job's validation, if there is a new one.

        Raises:
            ConfigError: The report does not have the metric.
        """
        report = None if self._pruner is None else read_report(job.folder)
        if report is None or self._pruner is None:
            return
        answered = read_answer(job.folder)
        if answered is not None and answered.step == report.step:
            return
        prune = self._pruner.prunes(
            self._trial(job),
            report.step,
            self._metric_of(job, report.metrics),
            is_last=report.step >= report.max_steps,
        )
        if prune:
            # Before the answer: a job that has ended as pruned is never run again.
            self._study.tell(self._trials[job.name], state=TrialState.PRUNED, skip_if_finished=True)
        write_answer(job.folder, Answer(step=report.step, prune=prune))

    def ended(self, job: Job, status: Status) -> None:
        """Reports the metric to the study; an interrupted trial stays open and can be continued.

        Raises:
            ConfigError: The job's results do not have the metric.
        """
        number = self._trials[job.name]
        if status == Status.FINISHED:
            # Optuna marks a trial with a NaN value as failed.
            self._study.tell(number, self._value(job), skip_if_finished=True)
        elif status == Status.PRUNED:
            self._study.tell(number, state=TrialState.PRUNED, skip_if_finished=True)
        elif status == Status.FAILED:
            self._study.tell(number, state=TrialState.FAIL, skip_if_finished=True)

    def _value(self, job: Job) -> float:
        return self._metric_of(job, job.results() or {})

    def _metric_of(self, job: Job, results: Mapping[str, float]) -> float:
        if self._metric is None:
            self._metric = job.monitor()
        if self._metric is None or self._metric not in results:
            raise ConfigError(
                f"hydra.sweeper.metric={self._metric} is not in the results of {job.name}, which "
                f"are {', '.join(sorted(results))}"
            )
        self._check_metric(self._metric)
        if METRIC not in self._study.user_attrs:
            self._study.set_user_attr(METRIC, self._metric)
        return results[self._metric]

    def _check_metric(self, metric: str | None) -> None:
        """Checks that the values of the study are those of a metric.

        Raises:
            ConfigError: They are of another one.
        """
        known = self._study.user_attrs.get(METRIC, metric)
        if metric is not None and known != metric:
            raise ConfigError(
                f"hydra.sweeper.metric={metric} but the study {self._study.study_name} has values "
                f"of {shown(str(known))}; use another name=… for the sweep"
            )

    def best(self) -> str | None:
        """Describes the best trial in one line; None if no trial has finished."""
        complete = self._study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])
        if not complete:
            return None
        trial = self._study.best_trial
        name = job_name(self._overrides(trial))
        return f"best of {len(complete)} trials: {name}, {self._metric} {trial.value:.4g}"


def as_text(value: object) -> str:
    """Formats a sampled value as in an override; choices are already text."""
    return value if isinstance(value, str) else repr(value)


def _can_be(distribution: BaseDistribution, value: object) -> bool:
    """Whether a value is one of a distribution's choices, or a number for one of numbers.

    The bounds of numbers are not compared, because a sweep may go on with other bounds.
    """
    if isinstance(distribution, CategoricalDistribution):
        return any(value == choice for choice in distribution.choices)
    return isinstance(value, int | float) and math.isfinite(value)


def ends(distribution: BaseDistribution) -> list[str]:
    """Lists the values to check a distribution with: all choices, or both ends.

    Of numbers that are not whole there is one more, which a key of whole numbers cannot have.
    """
    if isinstance(distribution, CategoricalDistribution):
        return [as_text(choice) for choice in distribution.choices]
    assert isinstance(
        distribution, optuna.distributions.FloatDistribution | optuna.distributions.IntDistribution
    )
    low, high = distribution.low, distribution.high
    is_continuous = isinstance(distribution, optuna.distributions.FloatDistribution)
    between = [low + (high - low) / math.pi] if is_continuous and distribution.step is None else []
    return [as_text(value) for value in (low, *between, high)]
