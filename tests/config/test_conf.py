"""Every file of conf/ composes, fits its schema, and makes what it describes."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.plugins import Plugins

from clozekit.config.composition.location import conf_dir
from clozekit.config.sweeps import check_launcher, check_sweeper
from tests.config.checks_of_training import (
    check_callbacks,
    check_compile,
    check_data,
    check_debug,
    check_encoder,
    check_experiment,
    check_logger,
    check_objective,
    check_optimizer,
    check_schedule,
    check_task,
    check_train,
    check_trainer,
)
from tests.config.checks_of_verbs import (
    check_benchmark,
    check_dedup,
    check_evaluate,
    check_executor,
    check_export,
    check_inspect,
    check_merge,
    check_predict,
    check_prepare,
    check_report,
    check_source,
    check_suite,
    check_tokenizer,
)
from tests.config.given import FILES, Given


def check_hydra(name: str, given: Given) -> None:
    group, _, choice = name.rpartition("/")
    if group:
        with initialize_config_dir(str(conf_dir()), version_base="1.3"):
            composed = compose(
                "train", [f"hydra/{group}={choice}", "name=mine"], return_hydra_config=True
            )
        check = {"launcher": check_launcher, "sweeper": check_sweeper}[group]
        check(composed.hydra[group])
        assert composed.hydra[group]._target_ in Plugins.instance().class_name_to_class
        return
    verbs = (
        *("prepare", "train", "inspect", "evaluate", "predict"),
        *("benchmark", "export", "merge", "report"),
    )
    for verb in verbs:
        suite = ["suite=local"] if verb == "benchmark" else []
        with initialize_config_dir(str(conf_dir()), version_base="1.3"):
            hydra = compose(verb, suite, return_hydra_config=True).hydra
        assert hydra.runtime.choices["hydra"] == name
        assert (hydra.run.dir, hydra.output_subdir) == (".", None)
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        composed = compose("train", overrides=["name=mine"], return_hydra_config=True)
    assert composed.hydra.sweep.dir == "runs/mine"
    assert composed.hydra.runtime.choices["hydra/launcher"] == "processes"


CHECKS: dict[str, Callable[[str, Given], None]] = {
    "train.yaml": check_train,
    "prepare.yaml": check_prepare,
    "inspect.yaml": check_inspect,
    "evaluate.yaml": check_evaluate,
    "predict.yaml": check_predict,
    "export.yaml": check_export,
    "merge.yaml": check_merge,
    "benchmark.yaml": check_benchmark,
    "suite": check_suite,
    "report.yaml": check_report,
    "encoder": check_encoder,
    "task": check_task,
    "data": check_data,
    "optimizer": check_optimizer,
    "schedule": check_schedule,
    "trainer": check_trainer,
    "compile": check_compile,
    "debug": check_debug,
    "logger": check_logger,
    "callbacks": check_callbacks,
    "experiment": check_experiment,
    "objective": check_objective,
    "source": check_source,
    "tokenizer": check_tokenizer,
    "dedup": check_dedup,
    "executor": check_executor,
    "hydra": check_hydra,
}
"""How the files of each folder are checked; a file without a check fails its test."""


@pytest.mark.parametrize("file", FILES)
def test_a_file_composes_and_makes_what_it_describes(file: str, given: Given) -> None:
    group, _, name = file.removesuffix(".yaml").partition("/")
    CHECKS[group if name else file](name or group, given)


def test_the_folder_is_the_checkouts() -> None:
    assert conf_dir() == Path(__file__).parents[2] / "conf"
    assert {"train.yaml", "encoder/tiny.yaml", "trainer/ddp_cpu.yaml"} <= set(FILES)
