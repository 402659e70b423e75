"""What comes of knowing no more than counts: the figures that a trained model has to beat."""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import chain
from statistics import mean
from typing import Any

import torch

from clozekit.metrics.correlation import ScoreMetrics
from clozekit.metrics.entities import EntityF1
from clozekit.metrics.squad_metric import SquadMetric

WORD = re.compile(r"\w+")


def baselines(group: str, metric: str, train: Sequence[Any], rows: Sequence[Any]) -> dict[str, Any]:
    """Gives the metric of every baseline on the validation rows.

    Args:
        group: The task.
        metric: What it is judged by.
        train: The training examples.
        rows: The validation examples.
    """
    if group == "classification":
        commonest = _commonest(example.labels for example in train)
        return {"the commonest class": mean(example.labels == commonest for example in rows)}
    if group == "regression":
        constant = torch.full((len(rows),), mean(example.score for example in train))
        scores = ScoreMetrics()
        scores.update(constant, torch.tensor([example.score for example in rows]))
        return {"the mean": scores.compute()[metric].item()}
    if group == "tagging":
        return _of_tagging(metric, train, rows)
    if group == "multiple_choice":
        commonest = _commonest(example.label for example in train)
        return {
            "the commonest place": mean(example.label == commonest for example in rows),
            "most words of the context": mean(_by_overlap(e) == e.label for e in rows),
        }
    answers = SquadMetric()
    for example in rows:
        answers.update([_first_sentence(example.context)], [example.answers], [-1.0])
    return {"the first sentence": answers.compute()[metric].item()}


def _of_tagging(metric: str, train: Sequence[Any], rows: Sequence[Any]) -> dict[str, float]:
    """Tags all words alike, and each word by itself."""
    tags_of: dict[str, Counter[str]] = defaultdict(Counter)
    for example in train:
        for word, tag in zip(example.words, example.tags, strict=True):
            tags_of[word][tag] += 1
    every = sum(tags_of.values(), Counter[str]())
    commonest = every.most_common(1)[0][0]
    known = {word: tags.most_common(1)[0][0] for word, tags in tags_of.items()}
    alike = [[commonest] * len(example.words) for example in rows]
    by_word = [[known.get(word, commonest) for word in example.words] for example in rows]
    golds = [list(example.tags) for example in rows]
    return {
        f"{commonest} everywhere": _score_tags(metric, alike, golds, every),
        "each word's commonest tag": _score_tags(metric, by_word, golds, every),
    }


def _score_tags(
    metric: str, predicted: list[list[str]], golds: list[list[str]], tags: Counter[str]
) -> float:
    if metric == "f1":
        entities = EntityF1(sorted({tag[2:] for tag in tags if tag != "O"}))
        entities.update(predicted, golds)
        return entities.compute()["f1"].item()
    pairs = zip(chain.from_iterable(predicted), chain.from_iterable(golds), strict=True)
    return mean(tag == gold for tag, gold in pairs)


def _by_overlap(example: Any) -> int:
    """Finds the choice most of whose words are in the context; of equals the first.

    The question stands before every choice, and so makes no difference to their order.
    """
    context = set(WORD.findall(example.context.lower()))
    words = [Counter(WORD.findall(choice.lower())) for choice in example.choices]
    shared = words[0].copy()
    for other in words[1:]:
        shared &= other
    own = [of_choice - shared for of_choice in words]
    shares = [
        sum(n for word, n in counts.items() if word in context) / max(1, counts.total())
        for counts in own
    ]
    return shares.index(max(shares))


def _first_sentence(context: str) -> str:
    return re.split(r"(?<=[.!?])\s", context, maxsplit=1)[0]


def _commonest(values: Any) -> Any:
    return Counter(values).most_common(1)[0][0]
