"""Writes the table of the forecasts' errors into README.md.

python -m experiments.forecasts.tables
"""

import json
from pathlib import Path
from typing import Any

from experiments.pages import replaced, row

FOLDER = Path(__file__).resolve().parent
RESULTS = FOLDER / "results.json"


def main() -> None:
    readme = FOLDER / "README.md"
    readme.write_text(page(readme.read_text(encoding="utf-8")), encoding="utf-8")
    print("now run python -m experiments.summary")


def page(text: str) -> str:
    """Returns the page with the table of the results, if there are any."""
    if not RESULTS.is_file():
        return text
    return replaced(text, "forecasts", table(json.loads(RESULTS.read_text())))


def table(results: dict[str, Any]) -> str:
    """Writes the forecasts, what happened, and the errors."""
    lines = [
        row("configuration", "steps", "time", "forecast", "error", "memory", "forecast", "error"),
        row("---", *["---:"] * 7),
    ]
    for name, run in results["runs"].items():
        forecast = run["forecast"]
        lines.append(
            row(
                name,
                f"{forecast['max_steps']:,.0f}",
                f"{run['seconds']:.1f} s",
                f"{forecast['seconds']:.1f} s",
                f"{run['time_error']:+.0%}",
                mebibytes(run["peak_bytes"]),
                mebibytes(forecast["memory_bytes"]),
                f"{run['memory_error']:+.0%}",
            )
        )
    return "\n".join([*lines, "", f"Largest errors: {in_words(results)}."])


def in_words(results: dict[str, Any]) -> str:
    """Returns the largest errors of time and memory."""
    largest = {
        what: max(abs(run[f"{what}_error"]) for run in results["runs"].values())
        for what in ("time", "memory")
    }
    number = len(results["runs"])
    return f"time {largest['time']:.0%}, memory {largest['memory']:.0%} in {number} configurations"


def mebibytes(number: float) -> str:
    return f"{number / 2**20:,.0f} MiB"


if __name__ == "__main__":
    main()
