"""Writes the table of the demo's results into README.md here and in the repository.

python -m experiments.demo.tables
"""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from statistics import mean
from typing import Any

from experiments.demo.chance import against_chance
from experiments.pages import replaced, row

FOLDER = Path(__file__).resolve().parent
PAIRS = {
    "validation/nsp_accuracy": "next sentences",
    "validation/sop_accuracy": "order of sentences",
}
STARTS = {
    "from scratch": "from scratch",
    "pretrained": "from the demo's checkpoint",
    "published": "from a published encoder, MiniLM",
}


def main() -> None:
    for readme in (FOLDER / "README.md", FOLDER.parents[1] / "README.md"):
        readme.write_text(page(readme.read_text(encoding="utf-8")), encoding="utf-8")


def page(text: str) -> str:
    """Returns a page with the table of results.json."""
    results = json.loads((FOLDER / "results.json").read_text())
    lines = [row("", "result", "for comparison"), row("---", "---", "---")]
    lines += [row(*cells) for cells in rows_of(results)]
    text = replaced(text, "demo", "\n".join(lines))
    if "<!-- words -->" in text:
        text = replaced(text, "words", "\n".join(words_of(results)))
    return text


def rows_of(results: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yields the rows of the table: what was measured, the result, and what it compares with."""
    entropy, loss = results["unigram_entropy"], results["validation/mlm_loss"]
    alone = "from word frequencies alone"
    yield "masked words: loss on held-out text, nats", f"{loss:.3f}", f"{entropy:.3f} {alone}"
    yield (
        *("masked words: perplexity", f"{math.exp(loss):.0f}"),
        f"{math.exp(entropy):.0f} {alone}",
    )
    for metric, what in PAIRS.items():
        if metric in results:
            accuracy = results[metric]
            yield f"{what}: accuracy", f"{accuracy:.3f}", _of_chance(accuracy, results)
    of_rows = f" on {results['sentiment_rows']:,} rows" if "sentiment_rows" in results else ""
    for start, scores in results["sentiment_accuracy"].items():
        what = f"sentiment {STARTS[start]}{of_rows}: test accuracy"
        yield what, f"{mean(scores):.3f}", _of_seeds(scores)


def words_of(results: dict[str, Any]) -> Iterator[str]:
    """Yields the lines of the table with the likeliest words for [MASK]."""
    yield row("text", "likeliest words")
    yield row("---", "---")
    for text, lines in results["masked_words"].items():
        yield row(text, "; ".join(lines))


def _of_chance(accuracy: float, results: dict[str, Any]) -> str:
    pairs = results.get("validation_pairs")
    return "0.500 by chance" if pairs is None else against_chance(accuracy, pairs)


def _of_seeds(scores: list[float]) -> str:
    if len(scores) == 1:
        return "seed 1"
    return f"seeds 1 and 2: {', '.join(f'{score:.3f}' for score in scores)}"


if __name__ == "__main__":
    main()
