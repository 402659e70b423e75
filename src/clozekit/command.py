"""Runs a verb under Hydra: composes and checks the configuration before heavy imports."""

import os
import sys
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, TypeVar

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel, ValidationError

from clozekit.config.group_choices import check_choices, choices_of
from clozekit.config.inherited import overrides_of_parent
from clozekit.config.key_conflicts import check_key_conflicts
from clozekit.config.location import conf_dir, user_conf_dir
from clozekit.config.messages import (
    of_composition,
    of_hydra,
    of_omegaconf,
    of_validation,
    shortened,
)
from clozekit.config.options import is_multirun, parse_options
from clozekit.config.overrides import as_overrides, quoted
from clozekit.config.own_modules import import_from_here, targets_of
from clozekit.display import say
from clozekit.environment import prepare_for_torch, without_collector
from clozekit.errors import ConfigError, UserError, WorkerError, of_os_error
from clozekit.exit_codes import FAILED, USER_ERROR
from clozekit.signals import exit_on_stop_signals
from clozekit.standard_streams import OutputError, keep_going_without_output

if TYPE_CHECKING:
    from clozekit.config.train import TrainConfig

ConfigT = TypeVar("ConfigT", bound=BaseModel)

_STARTED_BY_LIGHTNING = "hydra.job.name=train_ddp_process_"
"""The argument that Lightning adds to the command line of the processes that it starts."""


class VerbTask:
    """The function that Hydra calls with a composed configuration. It collects error messages.

    Args:
        verb: The verb.
        command_line: The whole command line.

    Attributes:
        messages: The messages of errors that are not errors of the program.
        exit_code: The exit code; a sweep's launcher sets it too.
        is_composed: Whether Hydra has composed the configuration. Errors before that are mistakes
            in the overrides or in YAML files.
        cleanup: Callbacks to run at the end.
    """

    def __init__(self, verb: str, command_line: list[str]) -> None:
        self.verb = verb
        self.command_line = command_line
        self.messages: list[str] = []
        self.exit_code = 0
        self.is_composed = False
        self.cleanup = ExitStack()

    def __call__(self, composed: DictConfig) -> None:
        """Runs the verb."""
        self.is_composed = True
        # Hydra's parser does not know verbs, so they were removed from the command line. Lightning
        # needs the whole command line to start its other processes.
        sys.argv = self.command_line
        try:
            _WORK[self.verb](composed)
        except OutputError:
            raise
        except (UserError, WorkerError, OSError, OmegaConfBaseException) as error:
            if HydraConfig.get().mode == RunMode.MULTIRUN:
                raise  # so that Hydra's own launchers notice it
            # Hydra would add its own lines to an exception that is raised here.
            self.fail(error)

    def fail(self, error: Exception, message: str | None = None) -> None:
        """Notes an error, whose message is printed at the end."""
        self.messages.append(_message(error) if message is None else message)
        self.exit_code = FAILED if isinstance(error, WorkerError) else USER_ERROR


def run_verb(verb: str) -> int:
    """Runs a verb with the overrides of the command line.

    Returns:
        The exit code. Errors that the user can fix are printed in one line, and the code is 2.
        Errors of the operating system count as such: a full disk, a missing permission. If a worker
        process was killed, the code is 1, and so is that of a sweep with a failed job. Any other
        error is raised with its traceback.
    """
    command_line = list(sys.argv)
    task = VerbTask(verb, command_line)
    os.environ["HYDRA_FULL_ERROR"] = "1"  # so that Hydra raises its errors to the code below
    overrides: list[str] = []
    try:
        options, arguments = parse_options(verb, command_line[2:])
        sweeps = is_multirun(options)
        if verb != "train" and sweeps:
            raise ConfigError("-m only works with clozekit train; run this verb once per value")
        overrides = as_overrides(verb, arguments, sweeps)
        if verb in ("train", "inspect") and not sweeps:
            inherited = overrides_of_parent(overrides)
            # First, so that keys inside them can be given. Also for the processes that Lightning
            # starts, and for the record of the run.
            overrides = [*inherited, *overrides]
            task.command_line = [*command_line[:2], *inherited, *command_line[2:]]
        check_choices(verb, overrides, sweeps)
        check_key_conflicts(overrides)
        sys.argv = [command_line[0], *overrides, *_searchpath(verb, overrides)]
        hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name=verb)(task)()
    except HydraException as error:
        task.fail(error, of_hydra(error, verb, overrides))
    except OutputError:
        raise
    except (UserError, WorkerError, OSError, OmegaConfBaseException) as error:
        task.fail(error)
    except Exception as error:
        if task.is_composed:
            raise
        # Hydra raises errors of many kinds for values that it does not expect.
        task.fail(error, of_composition(error))
    finally:
        sys.argv = command_line
        task.cleanup.close()
    for message in task.messages:
        say(f"clozekit {verb}: {shortened(message)}", file=sys.stderr)
    return task.exit_code


def _searchpath(verb: str, overrides: list[str]) -> list[str]:
    """Adds the folder of the user's `local/default.yaml`, unless the user sets a search path."""
    folder = user_conf_dir() if verb in ("train", "inspect", "benchmark") else None
    if folder is None or any("hydra.searchpath" in override for override in overrides):
        return []
    return [f"hydra.searchpath=[{quoted('', f'file://{folder}')[1:]}]"]


def _message(error: Exception) -> str:
    if isinstance(error, OSError):
        return of_os_error(error)
    return of_omegaconf(error) if isinstance(error, OmegaConfBaseException) else str(error)


def validated(composed: DictConfig, schema: type[ConfigT]) -> ConfigT:
    """Checks a composed configuration against a verb's schema.

    Raises:
        ConfigError: Keys are invalid; the message has one line per key.
        OmegaConfBaseException: A required key has no value, or an interpolation fails.
    """
    values = OmegaConf.to_container(composed, resolve=True, throw_on_missing=True)
    try:
        return schema.model_validate(values)
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
    from clozekit.config.components import check_components
    from clozekit.config.loggers import check_server
    from clozekit.config.train import TrainConfig
    from clozekit.runs.folder import is_first_process, refuse_existing
    from clozekit.training.rank_connections import end_with_parent, set_parent

    # A run should not end because nobody reads its output.
    keep_going_without_output()
    if any(argument.startswith(_STARTED_BY_LIGHTNING) for argument in sys.argv):
        end_with_parent()
    else:
        set_parent()
    config = validated(composed, TrainConfig)
    if HydraConfig.get().mode == RunMode.MULTIRUN:
        _refuse_processes(config)
    if is_first_process() and config.resume is None:
        refuse_existing(config.run_dir)
    check_components(config)
    if is_first_process():
        check_server(config)
    prepare_for_torch()
    with without_collector():
        import_from_here(targets_of(config.model_dump(by_alias=True)))
        import_from_here(config.trusted_modules)
        from clozekit.train import train

    if is_first_process():
        exit_on_stop_signals()
    train(config)


def _inspect(composed: DictConfig) -> None:
    from clozekit.config.components import check_task_and_data
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


def _refuse_processes(config: "TrainConfig") -> None:
    """Rejects several processes per job with a launcher that runs jobs in its own process.

    Lightning would start the other processes with the command line of the whole sweep.
    """
    trainer = config.trainer.model_extra or {}
    for key in ("devices", "num_nodes"):
        value = trainer.get(key, "auto" if key == "devices" else 1)
        if value not in (1, "1"):
            raise ConfigError(
                f"trainer.{key}={value} in a sweep requires hydra/launcher=processes, which is the "
                "default, or submitit; with this launcher each process would start the whole sweep"
            )


def _predict(composed: DictConfig) -> None:
    from clozekit.config.predict import PredictConfig

    config = validated(composed, PredictConfig)
    config.check_output()
    prepare_for_torch()
    with without_collector():
        import_from_here(config.trusted_modules)
        from clozekit.predict import predict

    predict(config)


def _evaluate(composed: DictConfig) -> None:
    from clozekit.config.evaluate import EvaluateConfig, check_out

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

    config = validated(composed, ExportConfig)
    config.check_out()
    with without_collector():
        from clozekit.export import export

    export(config)


def _merge(composed: DictConfig) -> None:
    from clozekit.config.merge import MergeConfig

    config = validated(composed, MergeConfig)
    config.check_out()
    with without_collector():
        from clozekit.merge import merge

    merge(config)


def _report(composed: DictConfig) -> None:
    from clozekit.config.report import ReportConfig

    config = validated(composed, ReportConfig)
    with without_collector():
        from clozekit.report import report

    report(config)


_WORK: dict[str, Callable[[DictConfig], None]] = {
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
