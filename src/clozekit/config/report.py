"""The configuration of `clozekit report`."""

from typing import Literal

from clozekit.config.groups import Closed
from clozekit.config.paths import FilePath


class ReportConfig(Closed):
    """Which runs to report on, and the metric to compare them by.

    Attributes:
        folder: The folder of a sweep, of several runs, or of a single run; `folder=` may be
            omitted.
        metric: A metric of `results.json` to rank the runs by; null for the metric that the runs
            monitored.
        mode: Whether the smallest (`min`) or largest (`max`) value is best. `auto` uses the mode
            that the runs monitored the metric with; for other metrics it is `min` for a loss, an
            error or a perplexity, and otherwise `max`.
    """

    folder: FilePath
    metric: str | None = None
    mode: Literal["auto", "min", "max"] = "auto"
