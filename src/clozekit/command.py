"""Runs a verb under Hydra: composes and checks the configuration before heavy imports."""

import os
import sys
from contextlib import ExitStack
from typing import NoReturn

import hydra
from hydra import compose
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from clozekit.config.checks.key_conflicts import check_key_conflicts
from clozekit.config.composition.group_choices import LAUNCHER, check_choices, refused_launcher
from clozekit.config.composition.inherited import overrides_of_parent
from clozekit.config.composition.location import conf_dir, user_conf_dir
from clozekit.config.composition.messages import (
    of_composition,
    of_hydra,
    of_omegaconf,
    shortened,
)
from clozekit.config.composition.options import is_multirun, parse_options
from clozekit.config.composition.overrides import as_overrides, quoted
from clozekit.errors import ConfigError, DivergenceError, UserError, WorkerError, of_os_error
from clozekit.exit_codes import FAILED, USER_ERROR
from clozekit.output.display import say
from clozekit.output.standard_streams import OutputError
from clozekit.verbs import WORK

_FAILURES = (DivergenceError, WorkerError)
"""Errors with exit code 1 that are not of the program."""

_IN_WORDS = (UserError, *_FAILURES)
"""Errors whose message is all that is printed of them."""


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
        if HydraConfig.get().mode == RunMode.MULTIRUN:
            self._refuse_launcher()
        try:
            if self.verb == "inspect":
                composed = _with_first_setting(composed)
            WORK[self.verb](composed)
        except OutputError:
            raise
        except (*_IN_WORDS, OSError, OmegaConfBaseException) as error:
            # Hydra would add its own lines to an exception that is raised here.
            self.fail(error)

    def _refuse_launcher(self) -> NoReturn:
        """Ends a sweep whose launcher runs its jobs here, all of them under the sweep's name."""
        self.fail(refused_launcher(HydraConfig.get().runtime.choices.get(LAUNCHER)))
        raise SystemExit(self.exit_code)

    def fail(self, error: Exception, message: str | None = None) -> None:
        """Notes an error, whose message is printed at the end."""
        self.messages.append(_message(error) if message is None else message)
        self.exit_code = FAILED if isinstance(error, _FAILURES) else USER_ERROR


def run_verb(verb: str) -> int:
    """Runs a verb with the overrides of the command line.

    Returns:
        The exit code. Errors that the user can fix are printed in one line, and the code is 2.
        Errors of the operating system count as such: a full disk, a missing permission. If a run
        diverges or a worker process was killed, the code is 1, and so is that of a sweep with a
        failed job. Any other error is raised with its traceback.
    """
    command_line = list(sys.argv)
    task = VerbTask(verb, command_line)
    os.environ["HYDRA_FULL_ERROR"] = "1"  # so that Hydra raises its errors to the code below
    overrides: list[str] = []
    try:
        options, arguments = parse_options(verb, command_line[2:])
        # A flag and its value are no overrides.
        flags, words = arguments[: -len(options.overrides) or None], options.overrides
        sweeps = is_multirun(options)
        if verb != "train" and sweeps:
            raise ConfigError("-m only works with clozekit train; run this verb once per value")
        overrides = as_overrides(verb, words, sweeps)
        if verb in ("train", "inspect"):
            inherited = overrides_of_parent(overrides, sweeps)
            # First, so that keys inside them can be given. Also for the processes that Lightning
            # starts, and for the record of the run.
            overrides = [*inherited, *overrides]
            task.command_line = [*command_line[:2], *inherited, *command_line[2:]]
        check_choices(verb, overrides, sweeps)
        check_key_conflicts(overrides)
        more = [*_searchpath(verb, overrides), *_mode(verb)]
        sys.argv = [command_line[0], *flags, *overrides, *more]
        hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name=verb)(task)()
    except HydraException as error:
        task.fail(error, of_hydra(error, verb, overrides))
    except OutputError:
        raise
    except SystemExit:
        if not task.messages:
            raise
    except (*_IN_WORDS, OSError, OmegaConfBaseException) as error:
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


def _mode(verb: str) -> list[str]:
    """Lets `inspect` show one setting of an experiment that is a sweep."""
    return [f"hydra.mode={RunMode.RUN.name}"] if verb == "inspect" else []


def _with_first_setting(composed: DictConfig) -> DictConfig:
    """Composes the first setting of an experiment that is a sweep; its keys may be given."""
    from clozekit.config.composition.composing import first_setting

    own = first_setting()
    if not own:
        return composed
    say(f"inspects the first setting of the sweep: {' '.join(own)}", file=sys.stderr)
    given = HydraConfig.get().overrides
    searchpath = [each for each in given.hydra if "hydra.searchpath" in each]
    return compose("inspect", [*given.task, *own, *searchpath])


def _message(error: Exception) -> str:
    if isinstance(error, OSError):
        return of_os_error(error)
    return of_omegaconf(error) if isinstance(error, OmegaConfBaseException) else str(error)
