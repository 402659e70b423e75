"""What each verb does with its composed configuration: checks it, imports, and calls the program.

Heavy imports wait until the configuration has been checked.
"""

import sys
from collections.abc import Callable, Sequence
from typing import TypeVar

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from pydantic import BaseModel, ValidationError

from clozekit.config.composition.group_choices import choices_of
from clozekit.config.composition.messages import of_validation
from clozekit.config.composition.overrides import FREE_TEXT
from clozekit.config.composition.own_modules import import_from_here, targets_of
from clozekit.environment import prepare_for_torch, without_collector
from clozekit.errors import ConfigError, DivergenceError
from clozekit.exit_codes import FAILED
from clozekit.output.standard_streams import keep_going_without_output
from clozekit.processes.signals import exit_on_stop_signals

ConfigT = TypeVar("ConfigT", bound=BaseModel)

_STARTED_BY_LIGHTNING = "hydra.job.name=train_ddp_process_"
"""The argument that Lightning adds to the command line of the processes that it starts."""


def validated(
    composed: DictConfig, schema: type[ConfigT], free_text: Sequence[str] = ()
) -> ConfigT:
    """Checks a composed configuration against a verb's schema.

    Args:
        composed: The configuration.
        schema: The verb's schema.
        free_text: The keys of text in which every text is meant as it is.

    Raises:
        ConfigError: Keys are invalid; the message has one line per key.
        OmegaConfBaseException: A required key has no value, or an interpolation fails.
    """
    # OmegaConf takes ??? for a missing value.
    marks = [key for key in free_text if OmegaConf.is_missing(composed, key)]
    composed = OmegaConf.merge(composed, dict.fromkeys(marks)) if marks else composed  # type: ignore[assignment]
    values = OmegaConf.to_container(composed, resolve=True, throw_on_missing=True)
    assert isinstance(values, dict)
    try:
        return schema.model_validate(values | dict.fromkeys(marks, "???"))
    except ValidationError as error:
        raise ConfigError(of_validation(error)) from error


def _prepare(composed: DictConfig) -> None:
    from clozekit.config.prepare import PrepareConfig

    config = validated(composed, PrepareConfig)
    exit_on_stop_signals()
    with without_collector():
        from clozekit.prepare import prepare

    prepare(config)


def _train(composed: DictConfig) -> None:
    from clozekit.config.checks.components import check_components
    from clozekit.config.checks.loggers import check_server
    from clozekit.config.checks.without_effect import check_effects
    from clozekit.config.composition.inherited import check_decay_ratio
    from clozekit.config.train import TrainConfig
    from clozekit.runs.folder import is_first_process, refuse_existing
    from clozekit.sweeps.record import FILE as RECORD_OF_SWEEP
    from clozekit.training.rank_connections import end_with_parent, set_parent

    # A run should not end because nobody reads its output.
    keep_going_without_output()
    if any(argument.startswith(_STARTED_BY_LIGHTNING) for argument in sys.argv):
        end_with_parent()
    else:
        set_parent()
    config = validated(composed, TrainConfig)
    check_decay_ratio(config, HydraConfig.get().overrides.task)
    if is_first_process() and config.resume is None:
        refuse_existing(config.run_dir)
    check_components(config)
    verb = HydraConfig.get()
    # What is useless in one job of a sweep was checked for all of them.
    if not (config.run_dir.parent / RECORD_OF_SWEEP).exists():
        check_effects(config, list(verb.overrides.task))
    if is_first_process():
        check_server(config)
    prepare_for_torch()
    with without_collector():
        import_from_here(targets_of(config.model_dump(by_alias=True)))
        import_from_here(config.trusted_modules)
        from clozekit.train import train

    if is_first_process():
        exit_on_stop_signals()
    try:
        train(config)
    except DivergenceError:
        if not is_first_process():
            # It is the same on all processes; the first one reports it.
            raise SystemExit(FAILED) from None
        raise


def _inspect(composed: DictConfig) -> None:
    from clozekit.config.checks.components import check_task_and_data
    from clozekit.config.inspect import InspectConfig

    config = validated(composed, InspectConfig)
    config.check_out()
    check_task_and_data(config)
    prepare_for_torch()
    with without_collector():
        import_from_here(targets_of(config.model_dump(include={"data", "task"}, by_alias=True)))
        import_from_here(config.trusted_modules)
        from clozekit.inspect import inspect

    inspect(config)


def _predict(composed: DictConfig) -> None:
    from clozekit.config.predict import PredictConfig

    config = validated(composed, PredictConfig, FREE_TEXT)
    config.check_output()
    prepare_for_torch()
    with without_collector():
        import_from_here(config.trusted_modules)
        from clozekit.predict import predict

    predict(config)


def _evaluate(composed: DictConfig) -> None:
    from clozekit.config.evaluate import EvaluateConfig
    from clozekit.config.paths import check_out

    config = validated(composed, EvaluateConfig)
    if config.out is not None:
        check_out(config.out)
    prepare_for_torch()
    with without_collector():
        import_from_here(config.trusted_modules)
        from clozekit.evaluate import evaluate

    evaluate(config)


def _benchmark(composed: DictConfig) -> None:
    from clozekit.config.benchmark import BenchmarkConfig

    # A run should not end because nobody reads its output.
    keep_going_without_output()
    verb = HydraConfig.get()
    suite = verb.runtime.choices.get("suite")
    if suite is None:
        choices = ", ".join(choices_of("suite"))
        raise ConfigError(f"suite is missing; set suite=…, one of {choices}")
    config = validated(composed, BenchmarkConfig)
    launcher = OmegaConf.to_container(verb.launcher, resolve=True)
    assert isinstance(launcher, dict)
    with without_collector():
        from clozekit.benchmark import benchmark

    code = benchmark(config, str(suite), {str(key): value for key, value in launcher.items()})
    if code:
        raise SystemExit(code)


def _export(composed: DictConfig) -> None:
    from clozekit.config.export import ExportConfig
    from clozekit.config.paths import check_out

    config = validated(composed, ExportConfig)
    check_out(config.out)
    with without_collector():
        from clozekit.export import export

    export(config)


def _merge(composed: DictConfig) -> None:
    from clozekit.config.merge import MergeConfig
    from clozekit.config.paths import check_out

    config = validated(composed, MergeConfig)
    check_out(config.out)
    with without_collector():
        from clozekit.merge import merge

    merge(config)


def _report(composed: DictConfig) -> None:
    from clozekit.config.report import ReportConfig

    config = validated(composed, ReportConfig)
    with without_collector():
        from clozekit.report import report

    report(config)


WORK: dict[str, Callable[[DictConfig], None]] = {
    "prepare": _prepare,
    "train": _train,
    "inspect": _inspect,
    "evaluate": _evaluate,
    "predict": _predict,
    "benchmark": _benchmark,
    "export": _export,
    "merge": _merge,
    "report": _report,
}
