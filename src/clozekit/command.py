"""A verb under Hydra: compose, check, and only then import what does the work."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import hydra
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from pydantic import BaseModel, ValidationError

from clozekit.config.location import conf_dir
from clozekit.config.messages import of_hydra, of_omegaconf, of_validation
from clozekit.errors import ConfigError, UserError

ConfigT = TypeVar("ConfigT", bound=BaseModel)

_STARTED_BY_LIGHTNING = "hydra.job.name=train_ddp_process_"
"""What Lightning adds to the command line for the processes that it starts itself."""

USER_ERROR = 2
"""The exit code where the user has to mend something."""


def run_verb(verb: str) -> int:
    """Runs a verb with the overrides of the command line.

    Returns:
        The exit code. Errors that the user can mend are printed in one line and give 2; any other
        error is raised as it is, with its traceback.
    """
    command_line = list(sys.argv)
    overrides = command_line[2:]
    messages: list[str] = []

    def task(composed: DictConfig) -> None:
        # Hydra's parser knows no verbs, but Lightning starts its other processes by running the
        # whole command line again.
        sys.argv = command_line
        # What is raised in here Hydra announces in lines of its own.
        try:
            _WORK[verb](composed)
        except UserError as error:
            messages.append(str(error))
        except OmegaConfBaseException as error:
            messages.append(of_omegaconf(error))

    os.environ["HYDRA_FULL_ERROR"] = "1"  # so that Hydra's errors reach the lines below
    sys.argv = [command_line[0], *overrides]
    try:
        hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name=verb)(task)()
    except HydraException as error:
        messages.append(of_hydra(error, verb, overrides))
    finally:
        sys.argv = command_line
    for message in messages:
        print(f"clozekit {verb}: {message}", file=sys.stderr)
    return USER_ERROR if messages else 0


def validated(composed: DictConfig, schema: type[ConfigT]) -> ConfigT:
    """Checks a composed configuration against a verb's schema.

    Raises:
        ConfigError: A line a key that cannot be used.
        OmegaConfBaseException: A needed key has no value, or an interpolation leads nowhere.
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
    from clozekit.training.watch import be_parent, end_with_parent

    if any(argument.startswith(_STARTED_BY_LIGHTNING) for argument in sys.argv):
        end_with_parent()
    else:
        be_parent()
    config = validated(composed, TrainConfig)
    if is_first_process() and config.resume is None:
        refuse_existing(config.run_dir)
    check_components(config)
    if is_first_process():
        check_server(config)
    # torch's threads wait for each other by spinning; where other programs share the cores that
    # makes a step several times slower, and where none does it gains little. Read as torch loads.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    _import_from_here()
    from clozekit.train import train
    from clozekit.training.preemption import exit_on_sigterm

    if is_first_process():
        exit_on_sigterm()
    train(config)


def _predict(composed: DictConfig) -> None:
    from clozekit.config.predict import PredictConfig

    config = validated(composed, PredictConfig)
    config.check_output()
    _import_from_here()
    from clozekit.predict import predict

    predict(config)


def _evaluate(composed: DictConfig) -> None:
    from clozekit.config.evaluate import EvaluateConfig, check_out

    config = validated(composed, EvaluateConfig)
    if config.out is not None:
        check_out(config.out)
    _import_from_here()
    from clozekit.evaluate import evaluate

    evaluate(config)


def _export(composed: DictConfig) -> None:
    from clozekit.config.export import ExportConfig

    config = validated(composed, ExportConfig)
    config.check_out()
    from clozekit.export import export

    export(config)


def _import_from_here() -> None:
    """Finds modules of the user's own, which lie beside where the command is run."""
    sys.path.insert(0, str(Path.cwd()))


_WORK: dict[str, Callable[[DictConfig], None]] = {
    "prepare": _prepare,
    "train": _train,
    "evaluate": _evaluate,
    "predict": _predict,
    "export": _export,
}
