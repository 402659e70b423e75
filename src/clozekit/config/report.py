"""The configuration of `clozekit report`."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict


class ReportConfig(BaseModel):
    """What to report on, and what the runs are judged by.

    Attributes:
        folder: The folder of a sweep, of runs, or of a single run; the key may be left out.
        metric: The metric of `results.json` that the best are chosen by; null for the one that the
            runs themselves were judged by.
        mode: Whether its smallest (`min`) or its largest (`max`) value is the best; `auto` as the
            runs say it, and of another metric the smallest of a loss, an error or a perplexity.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    folder: Path
    metric: str | None = None
    mode: Literal["auto", "min", "max"] = "auto"
