"""Runs a verb under Hydra: composes and checks the configuration before heavy imports."""

import os
import sys
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, TypeVar

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.types import Quote, QuotedString
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel, ValidationError

from clozekit.config.location import conf_dir, user_conf_dir
from clozekit.config.messages import of_hydra, of_omegaconf, of_validation
from clozekit.config.overrides import as_overrides, refuse_booleans
from clozekit.config.own_modules import import_from_here, targets_of
from clozekit.config.values import printable
from clozekit.environment import prepare_for_torch
from clozekit.errors import ConfigError, UserError
from clozekit.exit_codes import USER_ERROR

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
        messages: The messages of errors that the user can fix.
        exit_code: The exit code if there are no messages; a sweep's launcher sets it.
        cleanup: Callbacks to run at the end.
    """

    def __init__(self, verb: str, command_line: list[str]) -> None:
        self.verb = verb
        self.command_line = command_line
        self.messages: list[str] = []
        self.exit_code = 0
        self.cleanup = ExitStack()

    def __call__(self, composed: DictConfig) -> None:
        """Runs the verb."""
        # Hydra's parser does not know verbs, so they were removed from the command line. Lightning
        # needs the whole command line to start its other processes.
        sys.argv = self.command_line
        try:
            _WORK[self.verb](composed)
        except (UserError, OmegaConfBaseException) as error:
            if HydraConfig.get().mode == RunMode.MULTIRUN:
                raise  # so that Hydra's own launchers notice it
            # Hydra would add its own lines to an exception that is raised here.
            self.messages.append(_message(error))


def run_verb(verb: str) -> int:
    """Runs a verb with the overrides of the command line.

    Returns:
        The exit code. Errors that the user can fix are printed in one line, and the code is 2. Any
        other error is raised with its traceback. The code of a sweep with a failed job is 1.
    """
    command_line = list(sys.argv)
    overrides = as_overrides(verb, command_line[2:])
    task = VerbTask(verb, command_line)
    os.environ["HYDRA_FULL_ERROR"] = "1"  # so that Hydra raises its errors to the code below
    sys.argv = [command_line[0], *overrides]
    try:
        refuse_booleans(overrides)
        sys.argv += _searchpath(verb, overrides)
        if verb != "train" and _is_multirun(overrides):
            raise ConfigError("-m only works with clozekit train; run this verb once per value")
        hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name=verb)(task)()
    except HydraException as error:
        task.messages.append(of_hydra(error, verb, overrides))
    except (UserError, OmegaConfBaseException) as error:
        task.messages.append(_message(error))
    finally:
        sys.argv = command_line
        task.cleanup.close()
    for message in task.messages:
        # A message may have text from a file of someone else.
        lines = [printable(line) for line in message.split("\n")]
        print(f"clozekit {verb}: " + "\n".join(lines), file=sys.stderr)
    return USER_ERROR if task.messages else task.exit_code


def _searchpath(verb: str, overrides: list[str]) -> list[str]:
    """Adds the folder of the user's `local/default.yaml`, unless the user sets a search path."""
    folder = user_conf_dir() if verb == "train" else None
    if folder is None or any("hydra.searchpath" in override for override in overrides):
        return []
    return [f"hydra.searchpath=[{QuotedString(f'file://{folder}', Quote.single).with_quotes()}]"]


def _message(error: Exception) -> str:
    return of_omegaconf(error) if isinstance(error, OmegaConfBaseException) else str(error)


def _is_multirun(overrides: list[str]) -> bool:
    return any(o in ("-m", "--multirun") or o.startswith("hydra.mode=") for o in overrides)


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
    from clozekit.prepare import prepare

    prepare(config)


def _train(composed: DictConfig) -> None:
    from clozekit.config.components import check_components
    from clozekit.config.loggers import check_server
    from clozekit.config.train import TrainConfig
    from clozekit.runs.folder import is_first_process, refuse_existing
    from clozekit.training.rank_connections import end_with_parent, set_parent

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
    import_from_here(targets_of(config.model_dump(by_alias=True)))
    import_from_here(config.trusted_modules)
    from clozekit.train import train
    from clozekit.training.preemption import exit_on_sigterm

    if is_first_process():
        exit_on_sigterm()
    train(config)


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
    import_from_here(config.trusted_modules)
    from clozekit.predict import predict

    predict(config)


def _evaluate(composed: DictConfig) -> None:
    from clozekit.config.evaluate import EvaluateConfig, check_out

    config = validated(composed, EvaluateConfig)
    if config.out is not None:
        check_out(config.out)
    prepare_for_torch()
    import_from_here(config.trusted_modules)
    from clozekit.evaluate import evaluate

    evaluate(config)


def _export(composed: DictConfig) -> None:
    from clozekit.config.export import ExportConfig

    config = validated(composed, ExportConfig)
    config.check_out()
    from clozekit.export import export

    export(config)


def _report(composed: DictConfig) -> None:
    from clozekit.config.report import ReportConfig

    config = validated(composed, ReportConfig)
    from clozekit.report import report

    report(config)


_WORK: dict[str, Callable[[DictConfig], None]] = {
    "prepare": _prepare,
    "train": _train,
    "evaluate": _evaluate,
    "predict": _predict,
    "export": _export,
    "report": _report,
}
