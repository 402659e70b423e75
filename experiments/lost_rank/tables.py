"""Writes the result of loop.py into README.md.

python -m experiments.lost_rank.tables
"""

import json
from pathlib import Path

from experiments.pages import replaced

FOLDER = Path(__file__).resolve().parent


def main() -> None:
    readme = FOLDER / "README.md"
    readme.write_text(page(readme.read_text(encoding="utf-8")), encoding="utf-8")


def page(text: str) -> str:
    """Returns README.md with the counts of results.json."""
    outcomes = json.loads((FOLDER / "results.json").read_text())["outcomes"]
    right = sum(outcome["is_right"] for outcome in outcomes)
    at_start = sum(outcome["moment"] == "start" for outcome in outcomes)
    first = sum(outcome["killed_rank"] == 0 for outcome in outcomes)
    total = len(outcomes)
    lines = [
        f"**{right} of {total} surviving ranks ended with exit code 1, one sentence and no "
        f"traceback.** {at_start} kills at the start, {total - at_start} after",
        f"the first step; rank 0 was killed {first} times, rank 1 {total - first} times.",
    ]
    return replaced(text, "outcomes", "\n".join(lines))


if __name__ == "__main__":
    main()
