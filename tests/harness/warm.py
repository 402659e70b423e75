"""What a process does once before it forks, so that its children need not do it each."""

import gc
import io

from tests.harness.no_fsync import leave_out_fsync
from tests.harness.quick_hydra import make_hydra_quick
from tests.programs.commands import compose_values


def warm_up() -> None:
    """Composes a configuration and draws a picture, and freezes what is in memory then.

    Hydra looks for plugins and builds its parser's tables when it is first used, and matplotlib
    looks for fonts.
    """
    from matplotlib.backends import backend_agg  # noqa: F401
    from matplotlib.figure import Figure
    from torch.utils import serialization  # noqa: F401

    import clozekit.command  # noqa: F401

    make_hydra_quick()
    leave_out_fsync()
    compose_values("train", "name=any", "data.path=any")
    figure = Figure(layout="constrained")
    figure.subplots().set_title("any")
    figure.savefig(io.BytesIO(), format="png")
    # The collector of a child would visit, and so copy, everything that is here.
    gc.collect()
    gc.freeze()
