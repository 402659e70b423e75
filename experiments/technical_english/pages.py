"""Writes the tables of README.md from corpus.json and results.json.

python -m experiments.technical_english.pages
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.pages import replaced, row

FOLDER = Path(__file__).resolve().parent
README = FOLDER / "README.md"
CORPUS, RESULTS = FOLDER / "corpus.json", FOLDER / "results.json"
TITLES = {
    "sentiment": "sentiment of a sentence",
    "answer_sentence": "does the sentence answer the question?",
    "pos": "parts of speech",
    "questions": "answers in a short context",
    "multiple_choice": "one of four choices",
}


def write_page() -> None:
    README.write_text(page(README.read_text(encoding="utf-8")), encoding="utf-8")


def page(text: str) -> str:
    """Returns README.md with the tables of the results that there are."""
    if CORPUS.is_file():
        content = json.loads(CORPUS.read_text())
        text = replaced(text, "sources", sources(content["sources"]))
        text = replaced(text, "corpus", corpus(content))
    if RESULTS.is_file():
        results = json.loads(RESULTS.read_text())
        text = replaced(text, "pretraining", pretraining(results["pretraining"]))
        text = replaced(text, "benchmark", benchmark(results))
        text = replaced(text, "machine", results["machine"])
    return text


def sources(packages: Sequence[dict[str, Any]]) -> str:
    lines = [
        row("package", "version", "licence of the documentation", "documents", "text, MB"),
        "|---|---|---|---|---|",
    ]
    for of in sorted(packages, key=lambda each: -each["bytes"]):
        cells = (of["package"], of["version"], of["licence"], f"{of['documents']:,}")
        lines.append(row(*cells, f"{of['bytes'] / 1e6:.2f}"))
    return "\n".join(lines)


def corpus(content: dict[str, Any]) -> str:
    packages, prepared = content["sources"], content["corpus"]
    both = [prepared[split] for split in ("train", "validation")]
    figures = {
        "packages": f"{len(packages)}",
        "text, MB": f"{sum(of['bytes'] for of in packages) / 1e6:.1f}",
        "documents": f"{sum(of['documents'] for of in packages):,}",
        "paragraphs": f"{sum(of['paragraphs'] for of in packages):,}",
        "repeated paragraphs left out": f"{sum(of['repeated'] for of in packages):,}",
        "equal documents left out by `prepare`": f"{prepared['duplicate_documents']:,}",
        "near-duplicates left out by `prepare`": f"{prepared['near_duplicate_documents']:,}",
        "vocabulary": f"{prepared['vocab_size']:,}",
        "sentences": f"{sum(of['sentences'] for of in both):,}",
        "tokens, training": f"{both[0]['tokens']:,}",
        "tokens, held out": f"{both[1]['tokens']:,}",
        "unknown tokens": f"{sum(of['unknown_tokens'] for of in both):,}",
    }
    return "\n".join([row("", ""), "|---|---|", *(row(*pair) for pair in figures.items())])


def pretraining(results: dict[str, Any]) -> str:
    loss, entropy = results["validation/mlm_loss"], results["unigram_entropy"]
    figures = {
        "command": f"`{results['command'].replace('__main__.py', 'clozekit')}`",
        "machine": results["machine"],
        "minutes": results["minutes"] or "resumed",
        "step of the last validation": f"{results['step']:,}",
        "tokens per second": f"{results['tokens_per_second']:,.0f}",
        "epochs": f"{results['epochs']:.1f}",
        "held-out loss of masked words, nats": f"{loss:.2f}",
        "the same from word frequencies alone": f"{entropy:.2f}",
        "next sentences, % right": f"{100 * results['validation/nsp_accuracy']:.1f}",
    }
    return "\n".join([row("", ""), "|---|---|", *(row(*pair) for pair in figures.items())])


def benchmark(results: dict[str, Any]) -> str:
    """Writes a row per task: baselines, then the encoders in the order of the benchmark."""
    measured = {each["label"]: each for each in results["benchmark"]["checkpoints"]}
    own, scratch, minilm = (measured[label] for label in ("own", "scratch", "minilm"))
    apart = {of["label"]: of["tasks"] for of in results["benchmark"]["comparison"]["differences"]}
    heads = ("task", "rows", "metric", "without a model", "from scratch", "own", "MiniLM")
    lines = [row(*heads, "own against scratch", "own against MiniLM"), "|---" * 9 + "|"]
    for place, of_own in enumerate(own["tasks"]):
        name = of_own["task"]
        rows, counted = results["rows"][name], results["baselines"][name]
        lines.append(
            row(
                TITLES[name],
                f"{rows['train']:,} + {rows['test']:,}",
                of_own["metric"].removeprefix("test/").replace("f1", "F1"),
                "; ".join(f"{score:.1f} {title}" for title, score in counted.items()),
                *(spread(each["tasks"][place]) for each in (scratch, own, minilm)),
                *(difference(apart[label].get(name)) for label in ("scratch", "minilm")),
            )
        )
    if own["average"] is not None:
        means = (spread(each["average"]) for each in (scratch, own, minilm))
        ends = (difference(apart[label].get("average")) for label in ("scratch", "minilm"))
        lines.append(row("average", "", "", "", *means, *ends))
    return "\n".join(lines)


def spread(score: dict[str, Any]) -> str:
    if score["mean"] is None:
        return "-"
    deviation = score["deviation"]
    return f"{score['mean']:.1f}" + ("" if deviation is None else f" ± {deviation:.1f}")


def difference(found: dict[str, Any] | None) -> str:
    """Writes how far the own encoder is ahead; the benchmark has the others against it."""
    if found is None:
        return "-"
    verdict = {"better": "worse", "worse": "better"}.get(found["verdict"], found["verdict"])
    # 0 minus it, so that no difference is +0.0.
    return f"{0 - found['mean']:+.1f}, {verdict}"


if __name__ == "__main__":
    write_page()
