"""Runs every arm and draws the verdict.

    clozekit prepare source=movie_reviews out=data/encoders tokenizer.vocab_size=8192
    python experiments/finetune_tasks/prepare.py     # parts of speech; see its README
    python -m experiments.encoders.run --speeds      # on an idle machine: some three minutes
    python -m experiments.encoders.run --jobs 2      # all runs; goes on where it was interrupted

It writes speeds.json, results.json, table.png and the table of README.md.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

from experiments.demo.demo import write_sentiment_files
from experiments.encoders.arms import SECONDS, comparison
from experiments.equal_time import run_all
from experiments.equal_time_report import HELD_OUT, NEXT_SENTENCES, SENTIMENT, Column, report, table
from experiments.equal_time_speeds import measured_speeds
from experiments.pages import replaced

FOLDER = Path(__file__).parent
TAGS = Column("pos", "validation/accuracy", "parts of speech, %", 100.0, ".1f")
COLUMNS = (HELD_OUT, NEXT_SENTENCES, SENTIMENT, TAGS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--speeds", action="store_true", help="only measure what is missing")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time, a thread each")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of training, each run")
    given = parser.parse_args()
    compared = comparison(given.seconds)
    speeds = measured_speeds(compared, FOLDER / "speeds.json")
    if given.speeds:
        return
    write_sentiment_files()
    arms = run_all(replace(compared, speeds=speeds), given.jobs)
    results = {"seconds": given.seconds, "arms": arms}
    (FOLDER / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    report(arms, FOLDER, COLUMNS)


def page(text: str) -> str:
    """Returns README.md with the table of results.json, if there is one."""
    file = FOLDER / "results.json"
    if not file.is_file():
        return text
    return replaced(text, "table", table(json.loads(file.read_text())["arms"], COLUMNS))


if __name__ == "__main__":
    main()
