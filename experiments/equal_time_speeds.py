"""The speed of arms, measured in turns, as a machine is faster in one minute than in the next."""

import json
import statistics
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import torch
from experiments.equal_time import Arm, Comparison
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from clozekit.config.composition.location import conf_dir
from clozekit.config.train import TrainConfig
from clozekit.training.beginning import Beginning, Parts, beginning_of, make_parts
from clozekit.training.measuring import measure

ROUNDS = 7
SECONDS_EACH = 2.5


def measured_speeds(comparison: Comparison, file: Path) -> dict[str, float]:
    """Returns the steps per second of each arm on one thread, from a file or measured now.

    In each round every arm takes some steps. An arm's time compared with the first arm's is the
    median over the rounds; the first arm's own time is its fastest, as other programs only slow
    it down. Arms that the file lacks are measured beside the first arm.
    """
    known: dict[str, float] = json.loads(file.read_text()) if file.exists() else {}
    missing = [arm for arm in comparison.arms if arm.name not in known]
    if not missing:
        return known
    if known:
        missing.insert(0, comparison.arms[0])
    torch.set_num_threads(1)
    timers = {arm.name: _timer(comparison, arm) for arm in missing}
    rounds: list[dict[str, float]] = []
    for number in range(ROUNDS):
        rounds.append({name: timer() for name, timer in timers.items()})
        print(f"round {number + 1}:", *(f"{n} {1e3 * s:.0f} ms" for n, s in rounds[-1].items()))
    first = comparison.arms[0].name
    fastest = 1 / known[first] if known else min(each[first] for each in rounds)
    measured = {
        name: 1 / (fastest * statistics.median(each[name] / each[first] for each in rounds))
        for name in timers
    }
    speeds = {**measured, **known}
    file.write_text(json.dumps(speeds, indent=1) + "\n")
    return speeds


def _timer(comparison: Comparison, arm: Arm) -> Callable[[], float]:
    """Returns a function that measures the seconds of a step."""
    overrides = [
        *comparison.common(arm, arm.learning_rates[0]),
        f"name={comparison.name}/speed",
        "max_steps=1000000",
    ]
    if arm.module != "clozekit":
        training = import_module(arm.module).TheirTraining(overrides)
        return lambda: float(training.seconds_per_step(SECONDS_EACH))
    parts = parts_of(overrides)
    return lambda: measure(*parts, SECONDS_EACH).step[0]


def parts_of(overrides: list[str]) -> tuple[Beginning, Parts]:
    """Returns what `clozekit train` begins with for its overrides."""
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        composed = compose("train", overrides=overrides)
    values = OmegaConf.to_container(composed, resolve=True, throw_on_missing=True)
    begin = beginning_of(TrainConfig.model_validate(values))
    return begin, make_parts(begin)
