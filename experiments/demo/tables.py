"""Writes the table of the demo's results into README.md here and in the repository.

python -m experiments.demo.tables
"""

import json
import math
from pathlib import Path
from statistics import mean

from experiments.pages import replaced

FOLDER = Path(__file__).resolve().parent


def main() -> None:
    for readme in (FOLDER / "README.md", FOLDER.parents[1] / "README.md"):
        readme.write_text(page(readme.read_text(encoding="utf-8")), encoding="utf-8")


def page(text: str) -> str:
    """Returns a page with the table of results.json."""
    results = json.loads((FOLDER / "results.json").read_text())
    entropy, loss = results["unigram_entropy"], results["validation/mlm_loss"]
    tuned, scratch = results["sentiment_accuracy"].values()
    alone = "from word frequencies alone"
    lines = [
        "| | result | for comparison |",
        "|---|---|---|",
        f"| masked words: loss on held-out text, nats | {loss:.3f} | {entropy:.3f} {alone} |",
        f"| masked words: perplexity | {math.exp(loss):.0f} | {math.exp(entropy):.0f} {alone} |",
        f"| next sentences: accuracy | {results['validation/nsp_accuracy']:.3f} "
        "| 0.500 by chance |",
        f"| sentiment from the checkpoint: test accuracy | {seeds(tuned)} | seeds 1 and 2 |",
        f"| sentiment from scratch: test accuracy | {seeds(scratch)} | the same seeds |",
    ]
    return replaced(text, "demo", "\n".join(lines))


def seeds(scores: list[float]) -> str:
    """Writes the mean, and the scores of the seeds."""
    return f"{mean(scores):.3f} ({', '.join(f'{score:.3f}' for score in scores)})"


if __name__ == "__main__":
    main()
