"""Similarities of texts by their vectors: retrieval, and the correlation with scores."""

from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812
from torchmetrics import Metric

from clozekit.metrics.correlation import spearman

RECALL_AT = (1, 5, 10)
OF_PAIRS = ("loss", *(f"recall@{k}" for k in RECALL_AT), "mrr")
OF_SCORES = ("spearman",)

ANCHORS_AT_ONCE = 1024
"""The number of rows of the matrix of similarities that are in memory together."""


def candidate_logits(
    anchors: Tensor,
    candidates: Tensor,
    anchor_ids: Tensor,
    candidate_ids: Tensor,
    targets: Tensor,
    temperature: float,
) -> Tensor:
    """Computes the similarity of each anchor to each candidate, divided by the temperature.

    A text may occur several times. A candidate with the text of the anchor or of its positive is no
    negative, so it gets minus infinity, except for the positive itself.

    Args:
        anchors: `[anchors, hidden]`, vectors of length 1.
        candidates: `[candidates, hidden]`, likewise.
        anchor_ids: `[anchors]`, int64. Equal for equal texts, as are those of candidates.
        candidate_ids: `[candidates]`, int64.
        targets: `[anchors]`, int64. The candidate that is each anchor's positive.
        temperature: The temperature of the softmax.

    Returns:
        `[anchors, candidates]`.
    """
    logits = anchors @ candidates.T / temperature
    positive_ids = candidate_ids[targets]
    is_same = candidate_ids == anchor_ids[:, None]
    is_same |= candidate_ids == positive_ids[:, None]
    is_same = is_same.scatter(1, targets[:, None], False)
    return logits.masked_fill(is_same, -torch.inf)


class EmbeddingMetrics(Metric):
    """Retrieval of each anchor's positive among all positives, and Spearman's correlation.

    - `loss`: the contrastive loss of an anchor among all candidates, which unlike the loss of
      training does not depend on the batch size.
    - `recall@k`: the share of anchors whose positive is among the k most similar candidates.
    - `mrr`: the mean of 1 / rank of the positive.
    - `spearman`: between the cosine similarity of a pair and its score, over the pairs that have
      one. These pairs do not count in the other metrics.

    Candidates with the same tokens count once. If two have the same similarity, the positive is
    ranked last, so that a model with equal vectors for all texts finds nothing.

    Args:
        width: The size of the vectors.
        temperature: The temperature of the loss.
        names: The metrics that are reported even if there are no rows for them.
    """

    full_state_update: ClassVar[bool] = False  # type: ignore[misc]
    anchors: list[Tensor]
    candidates: list[Tensor]
    ids: list[Tensor]
    scored: list[Tensor]

    def __init__(self, width: int, temperature: float, names: tuple[str, ...] = OF_PAIRS) -> None:
        super().__init__()
        self.width = width
        self.temperature = temperature
        self.names = names
        for name in ("anchors", "candidates", "ids", "scored"):
            self.add_state(name, [], dist_reduce_fx="cat")
        # For a process without rows; torchmetrics would guess the shape and the type.
        self.anchors.append(torch.zeros(0, width))
        self.candidates.append(torch.zeros(0, width))
        self.ids.append(torch.zeros(0, 2, dtype=torch.int64))
        self.scored.append(torch.zeros(0, 2))

    def update(
        self,
        vectors: Tensor,
        text_ids: Tensor,
        scores: Tensor,
        is_scored: Tensor,
        is_pair: Tensor,
    ) -> None:
        """Adds rows.

        Args:
            vectors: `[rows, views, hidden]`, of length 1: the anchor, the positive, and maybe a
                hard negative.
            text_ids: `[rows, views]`, int64. Equal for equal texts.
            scores: `[rows]`. The score of each pair that has one.
            is_scored: `[rows]`, bool. Whether a pair has a score.
            is_pair: `[rows]`, bool. Whether a row without a score has a positive of its own.
        """
        vectors = vectors.detach().float()
        similarities = (vectors[:, 0] * vectors[:, 1]).sum(dim=-1)
        self.scored.append(torch.stack([similarities, scores.float()], dim=1)[is_scored])
        kept = is_pair & ~is_scored
        vectors, text_ids = vectors[kept], text_ids[kept]
        for other in range(1, vectors.shape[1]):
            # Negatives are candidates without an anchor, which has the id of nothing.
            self.candidates.append(vectors[:, other])
            anchor_ids = text_ids[:, 0] if other == 1 else torch.zeros_like(text_ids[:, 0])
            self.ids.append(torch.stack([anchor_ids, text_ids[:, other]], dim=1))
            self.anchors.append(
                vectors[:, 0] if other == 1 else torch.zeros_like(vectors[:, other])
            )

    def compute(self) -> dict[str, Tensor]:
        """Computes the metrics over all rows of all processes."""
        computed = {name: torch.zeros((), device=self.device) for name in self.names}
        scored = _joined(self.scored)
        if len(scored):
            computed["spearman"] = spearman(scored[:, 0], scored[:, 1])
        ids = _joined(self.ids)
        is_anchor = ids[:, 0] != 0
        if is_anchor.any():
            computed |= self._retrieval(_joined(self.anchors), _joined(self.candidates), ids)
        return computed

    def _retrieval(self, anchors: Tensor, every: Tensor, ids: Tensor) -> dict[str, Tensor]:
        candidate_ids, places = torch.unique(ids[:, 1], return_inverse=True)
        # The first occurrence of each candidate.
        firsts = torch.full_like(candidate_ids, len(places))
        order = torch.arange(len(places), device=places.device)
        firsts = firsts.scatter_reduce(0, places, order, "amin")
        candidates = every[firsts]
        is_anchor = ids[:, 0] != 0
        anchors, anchor_ids, targets = anchors[is_anchor], ids[is_anchor, 0], places[is_anchor]
        losses, ranks = [], []
        for part, part_ids, part_targets in zip(
            *(torch.split(each, ANCHORS_AT_ONCE) for each in (anchors, anchor_ids, targets)),
            strict=True,
        ):
            logits = candidate_logits(
                part, candidates, part_ids, candidate_ids, part_targets, self.temperature
            )
            losses.append(F.cross_entropy(logits, part_targets, reduction="none"))
            own = logits.gather(1, part_targets[:, None])
            ranks.append((logits >= own).sum(dim=1))
        rank = torch.cat(ranks)
        found = {f"recall@{k}": (rank <= k).float().mean() for k in RECALL_AT}
        return {"loss": torch.cat(losses).mean(), **found, "mrr": (1 / rank).mean()}


def _joined(state: list[Tensor] | Tensor) -> Tensor:
    return state if isinstance(state, Tensor) else torch.cat(state)
