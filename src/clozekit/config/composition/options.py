"""Parses Hydra's command-line options, with one sentence for each mistake."""

from argparse import Namespace
from collections.abc import Sequence
from typing import NoReturn

from hydra._internal.utils import get_args_parser

from clozekit.errors import ConfigError

COMPLETION = [
    f"{action}={shell}"
    for action in ("install", "uninstall", "query")
    for shell in ("bash", "fish", "zsh")
]
"""What Hydra's `-sc` can be asked for."""


def check_completion(asked: Sequence[str]) -> None:
    """Checks what stands beside `-sc`.

    Raises:
        ConfigError: It is not one of what Hydra can be asked for.
    """
    if len(asked) != 1 or asked[0] not in COMPLETION:
        raise ConfigError(
            f"{' '.join(['-sc', *asked])}: -sc needs one of {', '.join(COMPLETION)}, as in "
            'eval "$(clozekit -sc install=bash)"'
        )


def parse_options(verb: str, arguments: Sequence[str]) -> tuple[Namespace, list[str]]:
    """Parses the arguments after a verb as Hydra does, with options and overrides in any order.

    Returns:
        The parsed options, and the arguments with the options before the overrides, as Hydra needs
        them.

    Raises:
        ConfigError: An option does not exist, lacks its value, or is not supported; or completion
            is asked for in another way than Hydra's.
    """
    parser = get_args_parser()

    def error(message: str) -> NoReturn:
        raise ConfigError(f"{message}; `clozekit {verb} --help` lists the keys")

    parser.error = error  # type: ignore[method-assign]
    options, later = parser.parse_known_args(list(arguments))
    unknown = [argument for argument in later if argument.startswith("-")]
    if unknown:
        error(f"unknown option {unknown[0]}")
    if options.experimental_rerun is not None:
        raise ConfigError(
            "--experimental-rerun is not supported, because a pickle can run code; set the keys "
            "of the run's config.yaml instead"
        )
    options.overrides += later
    if options.shell_completion:
        check_completion(options.overrides)
    given = list(arguments)
    for override in reversed(options.overrides):
        place = len(given) - 1 - given[::-1].index(override)
        del given[place]
    return options, [*given, *options.overrides]


def is_multirun(options: Namespace) -> bool:
    """Whether the options or overrides start a sweep."""
    modes = [o.partition("=")[2] for o in options.overrides if o.startswith("hydra.mode=")]
    return bool(options.multirun) or any(mode.strip("'\"").upper() == "MULTIRUN" for mode in modes)
