"""Compares the runs of a sweep: what differs between them, and which setting is best."""

import json
import math
import re
import shlex
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from clozekit.config.changes import Effect, effect_of
from clozekit.config.checks.key_conflicts import WITH_WEIGHTS
from clozekit.errors import ConfigError
from clozekit.metrics.best_values import NONE_IS_BEST, SMALLEST_IS_BEST
from clozekit.sweeps.read_runs import FoundRun, Mode, Outcome, Value, as_text

SEED = "seed"
"""Runs that differ only in this key have the same setting."""

WORDS_OF_ERRORS = ("loss", "perplexity", "error", "mse", "rmse", "mae")
"""Words in the names of a user's own metrics whose smallest value is the best."""


@dataclass(frozen=True)
class Criterion:
    """The metric that runs are compared by.

    Attributes:
        metric: A metric of the runs' results.
        mode: Whether the smallest (`min`) or largest (`max`) value is best.
    """

    metric: str
    mode: Mode

    def rank(self, value: float | None) -> tuple[bool, float]:
        """Returns a sort key that puts the best values first, and missing values and NaN last."""
        if value is None or math.isnan(value):
            return True, 0.0
        return False, value if self.mode == "min" else -value


@dataclass(frozen=True)
class Setting:
    """Runs that differ only in their seed.

    Attributes:
        values: The values of the swept keys.
        runs: The runs, with any outcome.
    """

    values: tuple[Value, ...]
    runs: tuple[FoundRun, ...]

    def of(self, metric: str) -> list[float]:
        """Returns the values of a metric, one for each seed whose runs have it.

        Runs of the same seed repeat each other, so they count as one, which has their mean.
        """
        by_seed: dict[str, list[float]] = {}
        for number, run in enumerate(self.runs):
            if metric in run.metrics:
                seed = run.value(SEED)
                key = f"run {number}" if seed is None else as_text(seed)
                by_seed.setdefault(key, []).append(run.metrics[metric])
        return [math.fsum(same) / len(same) for same in by_seed.values()]

    def repeated(self) -> list[str]:
        """Returns the names of runs whose seed an earlier run has."""
        seeds = [run.value(SEED) for run in self.runs]
        return [
            run.name
            for number, run in enumerate(self.runs)
            if seeds[number] is not None and seeds[number] in seeds[:number]
        ]

    def mean(self, metric: str) -> float | None:
        """Returns the mean of a metric; None if no run has it."""
        values = self.of(metric)
        return math.fsum(values) / len(values) if values else None

    def deviation(self, metric: str) -> float | None:
        """Returns the sample standard deviation of a metric; None for fewer than two runs."""
        values, mean = self.of(metric), self.mean(metric)
        if mean is None or len(values) < 2:
            return None
        if not all(map(math.isfinite, values)):
            return math.nan
        return statistics.stdev(values)


@dataclass(frozen=True)
class Summary:
    """The settings of a sweep, best first.

    Attributes:
        keys: The swept keys, without the seed.
        has_seeds: Whether the seed is swept, too.
        criterion: The metric that the runs are compared by; None if no run has recorded it.
        settings: The settings.
        metrics: The names of all metrics, starting with that of the criterion.
    """

    keys: tuple[str, ...]
    has_seeds: bool
    criterion: Criterion | None
    settings: tuple[Setting, ...]
    metrics: tuple[str, ...]

    @property
    def runs(self) -> list[FoundRun]:
        """All runs, in the order of their settings."""
        return [run for setting in self.settings for run in setting.runs]

    def named(self, outcome: Outcome) -> list[str]:
        """Returns the names of the runs with an outcome."""
        return [run.name for run in self.runs if run.outcome == outcome]

    def best(self) -> FoundRun | None:
        """Returns the best run of the best setting; None if no run has the metric."""
        criterion = self.criterion
        if criterion is None:
            return None
        runs = [run for run in self.settings[0].runs if criterion.metric in run.metrics]
        return min(
            runs, key=lambda run: criterion.rank(run.metrics[criterion.metric]), default=None
        )


def summarize(
    runs: Sequence[FoundRun],
    metric: str | None = None,
    mode: Literal["min", "max", "auto"] = "auto",
) -> Summary:
    """Compares runs.

    Args:
        runs: One or more runs.
        metric: The metric to compare them by; None for the one that most of them monitored.
        mode: Whether its smallest or largest value is best; `auto` uses the runs' mode, or else the
            metric's name.

    Raises:
        ConfigError: No run has the metric, or no run monitored one; or the metric has no best
            value, and no mode is given.
    """
    criterion = _criterion(runs, metric, mode)
    swept = swept_keys(runs)
    keys = tuple(key for key in swept if key != SEED)
    # A file of the user's may have changed between runs whose command lines are the same.
    keys += tuple(
        dict.fromkeys(key for same in _alike(runs, keys) for key in _differing_unsaid(same))
    )
    settings = [
        Setting(tuple(same[0].value(key) for key in keys), tuple(same))
        for same in _alike(runs, keys)
    ]
    metrics = list(dict.fromkeys(name for run in runs for name in run.metrics))
    if criterion is not None:
        settings.sort(key=lambda setting: criterion.rank(setting.mean(criterion.metric)))
        metrics = [criterion.metric, *(name for name in metrics if name != criterion.metric)]
    return Summary(keys, SEED in swept, criterion, tuple(settings), tuple(metrics))


def _alike(runs: Sequence[FoundRun], keys: Sequence[str]) -> list[list[FoundRun]]:
    """Groups runs that have the same values of some keys."""
    groups: dict[tuple[str, ...], list[FoundRun]] = {}
    for run in runs:
        groups.setdefault(tuple(as_text(run.value(key)) for key in keys), []).append(run)
    return list(groups.values())


def _criterion(
    runs: Sequence[FoundRun], metric: str | None, mode: Mode | Literal["auto"]
) -> Criterion | None:
    known = sorted({name for run in runs for name in run.metrics})
    if metric is not None and metric not in known:
        choices = f"the metrics are {', '.join(known)}" if known else "no run has finished"
        raise ConfigError(f"metric={metric} is not a metric of any run; {choices}")
    said = Counter(run.monitor for run in runs if run.monitor is not None)
    if metric is None:
        if not said:
            if known:
                raise ConfigError(
                    f"metric is required, because the runs monitored none; use {', '.join(known)}"
                )
            return None
        (metric, _), _ = said.most_common(1)[0]
    if mode != "auto":
        return Criterion(metric, mode)
    modes = [mode for (name, mode), _ in said.most_common() if name == metric]
    return Criterion(metric, modes[0] if modes else _mode_by_name(metric))


def _mode_by_name(metric: str) -> Mode:
    name = metric.rpartition("/")[2]
    if name in NONE_IS_BEST:
        raise ConfigError(
            f"metric={metric} has no best value; set mode=min or mode=max to sort by it"
        )
    if name in SMALLEST_IS_BEST or any(word in WORDS_OF_ERRORS for word in name.split("_")):
        return "min"
    return "max"


def swept_keys(runs: Sequence[FoundRun]) -> list[str]:
    """Lists the keys in which runs differ.

    These are the keys that sweeps set per job, and those with different values on the command
    lines. If there are none, they are the keys with different values in the configurations.
    """
    keys = list(dict.fromkeys(key for run in runs for key in run.own))
    given = dict.fromkeys(key for run in runs for key in run.given if not _is_of_the_run(key))
    keys += [key for key in given if key not in keys and _differs(runs, key)]
    return keys or _differing_in_config(runs)


def _differs(runs: Sequence[FoundRun], key: str) -> bool:
    known = [run for run in runs if run.config or run.given]
    return len({as_text(run.value(key)) for run in known}) > 1


def _differing_unsaid(runs: Sequence[FoundRun]) -> list[str]:
    """Lists the keys in which the configurations of runs with the same setting differ.

    These are not the keys that a run derives, nor those that only one version of clozekit has, nor
    texts that differ only in the run's name or seed: `train: fold-${seed}.csv` is one setting.
    """
    known = [run for run in runs if run.config]
    return [
        key
        for key in _differing_in_config(known)
        if key != SEED
        and all(key in run.config for run in known)
        and not any(_is_derived(key, run) for run in known)
        and len({_without_name_and_seed(run, key) for run in known}) > 1
    ]


def _without_name_and_seed(run: FoundRun, key: str) -> str:
    value = run.config[key]
    if not isinstance(value, str):
        return json.dumps(value)
    name, seed = (str(run.config.get(each)) for each in ("name", SEED))
    return re.sub(rf"(?<!\d){re.escape(seed)}(?!\d)", "${seed}", value.replace(name, "${name}"))


def _is_derived(key: str, run: FoundRun) -> bool:
    """Whether a run sets a key itself: by its budget, its parent or its pretrained weights."""
    group, _, name = key.partition(".")
    if group in ("max_steps", "budget"):
        return run.value("budget") is not None
    if group in ("schedule", "from_step"):
        return run.value("budget") is not None or run.config.get("from_run") is not None
    has_weights = run.config.get("encoder.pretrained") is not None
    return group == "encoder" and has_weights and name not in WITH_WEIGHTS


def _differing_in_config(runs: Sequence[FoundRun]) -> list[str]:
    configs: list[Mapping[str, Any]] = [run.config for run in runs if run.config]
    # Prefer top-level keys, because nested keys may interpolate them.
    names = sorted(
        {key for config in configs for key in config}, key=lambda key: (key.count("."), key)
    )
    found: dict[tuple[str, ...], str] = {}
    for key in names:
        values = tuple(str(config.get(key)) for config in configs)
        if len(set(values)) > 1 and not _is_of_the_run(key):
            found.setdefault(values, key)
    return list(found.values())


def _is_of_the_run(key: str) -> bool:
    # The group `trainer` only selects the hardware; its keys, such as precision, are compared.
    return key == "trainer" or effect_of(key) in (Effect.NAME, Effect.MANNER)


def command_to_repeat(run: FoundRun) -> str | None:
    """Returns the command that repeats a run under a new name; None if it is unknown."""
    if not run.command:
        return None
    arguments = []
    for argument in run.command[1:]:
        if argument.startswith("name="):
            argument = f"{argument.split('/')[0]}-again"
        if argument != "resume=auto":
            arguments.append(argument)
    return shlex.join(["clozekit", *arguments])
