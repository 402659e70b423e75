"""The contrastive loss over the rows of all processes, and its gradient at their vectors."""

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from clozekit.metrics.retrieval import ANCHORS_AT_ONCE, candidate_logits


def contrastive_losses(
    vectors: Tensor,
    text_ids: Tensor,
    is_row: Tensor,
    temperature: float,
    chosen: slice = slice(None),
) -> tuple[Tensor, Tensor]:
    """Computes the cross-entropy of each anchor's positive among the other texts of all rows.

    Args:
        vectors: `[rows, views, hidden]`, of length 1: the anchor, the positive, and maybe a hard
            negative.
        text_ids: `[rows, views]`, int64. Equal for equal texts.
        is_row: `[rows]`, bool. False for padding rows, which are not candidates.
        temperature: The temperature of the softmax.
        chosen: The rows whose loss is computed.

    Returns:
        The loss of each chosen row and whether its positive is the most similar candidate, both
        `[chosen]`.
    """
    views = vectors.shape[1]
    # The positives of all rows come first, so that row i's positive is candidate i.
    candidates = vectors[:, 1:].transpose(0, 1).flatten(0, 1)
    candidate_ids = text_ids[:, 1:].T.flatten()
    targets = torch.arange(len(vectors), device=vectors.device)[chosen]
    logits = candidate_logits(
        vectors[chosen, 0],
        candidates,
        text_ids[chosen, 0],
        candidate_ids,
        targets,
        temperature,
    )
    is_filling = ~is_row.repeat(views - 1)
    # The loss of a row that fills up is finite, so that its gradient can be multiplied by 0.
    is_filling = is_filling.expand_as(logits).scatter(1, targets[:, None], False)
    logits = logits.masked_fill(is_filling, -torch.inf)
    losses = F.cross_entropy(logits, targets, reduction="none") * is_row[chosen]
    return losses, (logits.detach().argmax(dim=1) == targets) & is_row[chosen]


def gradients_of_vectors(
    vectors: Tensor, text_ids: Tensor, is_row: Tensor, temperature: float, num_targets: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Computes the loss of all rows and the gradient of its mean at the vectors.

    The matrix of similarities is computed some rows at a time.

    Args:
        vectors: `[rows, views, hidden]`; see `contrastive_losses`.
        text_ids: `[rows, views]`.
        is_row: `[rows]`.
        temperature: The temperature of the softmax.
        num_targets: The number of rows of the step.

    Returns:
        The loss of each row and whether it is right, both `[rows]`, and the gradient
        `[rows, views, hidden]`.
    """
    leaf = vectors.detach().requires_grad_()
    losses, is_right = [], []
    with torch.enable_grad():
        for begin in range(0, len(leaf), ANCHORS_AT_ONCE):
            chosen = slice(begin, begin + ANCHORS_AT_ONCE)
            of_part, right = contrastive_losses(leaf, text_ids, is_row, temperature, chosen)
            torch.autograd.backward(of_part.sum() * (1 / num_targets), inputs=[leaf])
            losses.append(of_part.detach())
            is_right.append(right)
    assert leaf.grad is not None
    return torch.cat(losses), torch.cat(is_right), leaf.grad


def of_all_processes(
    vectors: Tensor, text_ids: Tensor, num_rows: int, accumulation: int, ranks: tuple[int, int]
) -> tuple[Tensor, Tensor, Tensor, int]:
    """Gathers the rows of a step from all processes.

    Processes may have different numbers of rows. They are filled up to the most that one can have,
    which follows from the size of the step, so the host does not wait for the device to count them.

    Args:
        vectors: `[own rows, views, hidden]`.
        text_ids: `[own rows, views]`, int64.
        num_rows: The number of rows of the step.
        accumulation: The number of micro-batches of each process.
        ranks: The rank of this process and the number of processes.

    Returns:
        The vectors and the ids of all rows, whether each is a row or only fills up, and the place
        of the first own row.
    """
    rank, world_size = ranks
    is_row = torch.ones(len(vectors), dtype=torch.bool, device=vectors.device)
    if world_size == 1:
        return vectors, text_ids, is_row, 0
    most = accumulation * -(-num_rows // (accumulation * world_size))
    ids = torch.cat([text_ids, is_row[:, None].long()], dim=1)
    every_vector, every_id = (_gathered(each, most, world_size) for each in (vectors, ids))
    begin = rank * most
    return every_vector, every_id[:, :-1], every_id[:, -1].bool(), begin


def _gathered(rows: Tensor, size: int, world_size: int) -> Tensor:
    """Returns `[world_size * size, …]`, the rows of all processes, filled up with zeros."""
    filled = rows.new_zeros(size, *rows.shape[1:])
    filled[: len(rows)] = rows
    parts = [torch.empty_like(filled) for _ in range(world_size)]
    torch.distributed.all_gather(parts, filled)
    return torch.cat(parts)
