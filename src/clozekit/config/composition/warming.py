"""What makes Hydra faster in the jobs of a sweep, which compose much the same configuration."""

from hydra import compose, initialize_config_dir
from hydra._internal.hydra import Hydra
from hydra.types import RunMode

from clozekit.config.composition.location import conf_dir

OVERRIDES = ("name=warm", "task=classification", "data=classification", "optimizer.lr=1e-3")


def compose_unused() -> None:
    """Composes a configuration that is not used, so that the next one takes less time.

    Hydra looks for its plugins, and its parser learns the grammar.
    """
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        compose("train", list(OVERRIDES))


def compose_once() -> None:
    """Makes Hydra compose the configuration once, not a first time to look for `hydra.mode`.

    A job is a single run, whatever mode a file of the configuration has for the sweep.
    """
    Hydra.get_mode = _run  # type: ignore[method-assign]


def _run(self: Hydra, config_name: str | None, overrides: list[str]) -> RunMode:
    return RunMode.RUN
