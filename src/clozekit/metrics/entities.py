"""Precision, recall and F1 of whole entities."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import ClassVar

import torch
from torch import Tensor
from torchmetrics import Metric

from clozekit.errors import DataError
from clozekit.metrics.tag_schemes import IOB2, Scheme, entities_of


class EntityF1(Metric):
    """Precision, recall and F1 of entities over all processes.

    An entity counts as found if its type and all its words are right.

    Args:
        entity_types: All entity types, without prefixes.
        scheme: The scheme of the tags.
    """

    full_state_update = False
    is_differentiable = False
    higher_is_better = True
    names: ClassVar[tuple[str, ...]] = ("f1", "precision", "recall")

    found: Tensor
    predicted: Tensor
    gold: Tensor

    def __init__(self, entity_types: Sequence[str], scheme: Scheme = IOB2) -> None:
        super().__init__()
        self.scheme = scheme
        self.entity_types = list(entity_types)
        for name in ("found", "predicted", "gold"):
            zeros = torch.zeros(len(entity_types), dtype=torch.int64)
            self.add_state(name, zeros, dist_reduce_fx="sum")

    def update(self, predictions: Sequence[Sequence[str]], golds: Sequence[Sequence[str]]) -> None:
        """Adds sentences.

        Args:
            predictions: The predicted tags of each sentence's words.
            golds: The gold tags of the same words.

        Raises:
            DataError: A tag has a type that is not in `entity_types`.
        """
        found, predicted, gold = Counter[str](), Counter[str](), Counter[str]()
        for predicted_tags, gold_tags in zip(predictions, golds, strict=True):
            if len(predicted_tags) != len(gold_tags):
                raise ValueError(f"{len(predicted_tags)} tags for {len(gold_tags)} words")
            ours, theirs = (
                set(entities_of(tags, self.scheme)) for tags in (predicted_tags, gold_tags)
            )
            found.update(kind for kind, _, _ in ours & theirs)
            predicted.update(kind for kind, _, _ in ours)
            gold.update(kind for kind, _, _ in theirs)
        self._refuse_unknown(predicted.keys() | gold.keys())
        self.found += self._by_type(found)
        self.predicted += self._by_type(predicted)
        self.gold += self._by_type(gold)

    def compute(self) -> dict[str, Tensor]:
        """Computes precision, recall and F1 over the entities of all types, from 0 to 1."""
        scores = _scores(int(self.found.sum()), int(self.predicted.sum()), int(self.gold.sum()))
        # MPS has no float64.
        dtype = torch.float32 if self.device.type == "mps" else torch.float64
        return {
            name: torch.tensor(value, dtype=dtype, device=self.device)
            for name, value in scores.items()
        }

    def per_type(self) -> dict[str, dict[str, float]]:
        """Computes precision, recall, F1 and the number of gold entities (`support`) of each type.

        Like `compute`, every process must call it.
        """
        with self.sync_context(dist_sync_fn=self.dist_sync_fn):
            counts = torch.stack([self.found, self.predicted, self.gold], dim=1).tolist()
        return {
            kind: {**_scores(found, predicted, gold), "support": gold}
            for kind, (found, predicted, gold) in zip(self.entity_types, counts, strict=True)
        }

    def _refuse_unknown(self, kinds: Iterable[str]) -> None:
        for kind in sorted(set(kinds) - set(self.entity_types)):
            known = ", ".join(self.entity_types)
            raise DataError(f"entity type {kind!r} is unknown; the model has {known}")

    def _by_type(self, counts: Counter[str]) -> Tensor:
        listed = [counts[kind] for kind in self.entity_types]
        return torch.tensor(listed, dtype=torch.int64, device=self.device)


def _scores(found: int, predicted: int, gold: int) -> dict[str, float]:
    """Returns the scores; one with a zero denominator is 0."""
    return {
        "f1": 2 * found / (predicted + gold) if predicted + gold else 0.0,
        "precision": found / predicted if predicted else 0.0,
        "recall": found / gold if gold else 0.0,
    }
