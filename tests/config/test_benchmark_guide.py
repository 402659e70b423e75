"""The commands of docs/benchmark.md are composed and checked as the command does."""

import re
import shlex
from pathlib import Path

import pytest
import yaml

from clozekit.config.benchmark import BenchmarkConfig, SuiteConfig
from clozekit.config.callbacks import ProbesConfig
from clozekit.config.composition.overrides import as_overrides
from clozekit.config.train import TrainConfig
from tests.programs.commands import compose_values

GUIDE = (Path(__file__).resolve().parents[2] / "docs" / "benchmark.md").read_text()
README = (Path(__file__).resolve().parents[2] / "README.md").read_text()


def commands_in(text: str, verb: str) -> list[list[str]]:
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    words = [shlex.split(line, comments=True) for line in lines]
    return [each[2:] for each in words if each[:2] == ["clozekit", verb]]


BENCHMARKS = [*commands_in(GUIDE, "benchmark"), *commands_in(README, "benchmark")]
TRAININGS = commands_in(GUIDE, "train")


def test_the_guides_have_commands() -> None:
    assert len(commands_in(GUIDE, "benchmark")) == 6
    assert len(commands_in(README, "benchmark")) == 1
    assert len(TRAININGS) == 1


@pytest.mark.parametrize("command", BENCHMARKS, ids=" ".join)
def test_a_benchmark_of_the_guides_is_valid(command: list[str]) -> None:
    own = "--config-dir" in command
    given = [each for each in command if each not in ("--config-dir", "my_conf")]
    given = [each.replace("suite=mine", "suite=glue") if own else each for each in given]
    values = compose_values("benchmark", *as_overrides("benchmark", given))
    config = BenchmarkConfig.model_validate(values)
    assert len(config.suite.chosen()) > 1
    assert len(config.all_seeds()) >= 3


def test_the_suite_of_the_guide_is_valid() -> None:
    (text,) = re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)
    suite = SuiteConfig.model_validate(yaml.safe_load(text))
    assert list(suite.chosen()) == ["reviews", "names", "rte"]
    assert suite.rates == [1e-4, 5e-5, 2e-5]


@pytest.mark.parametrize("command", TRAININGS, ids=" ".join)
def test_a_training_of_the_guide_is_valid(command: list[str]) -> None:
    values = compose_values("train", *as_overrides("train", command))
    probes = TrainConfig.model_validate(values).callbacks["probes"]
    assert probes is not None
    assert ProbesConfig.model_validate(probes.model_extra).every_n_steps == 500


def test_the_quantiles_of_the_guide_are_those_of_the_test() -> None:
    from clozekit.benchmarks.statistics import student_quantile

    found = re.search(r"\(([\d.]+) for two seeds, ([\d.]+) for three, ([\d.]+) for five\)", GUIDE)
    assert found is not None
    quantiles = [student_quantile(0.975, degrees) for degrees in (1, 2, 4)]
    assert [f"{quantile:.1f}" for quantile in quantiles] == list(found.groups())
