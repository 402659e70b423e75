"""Finds the best answers in a paragraph from the scores of tokens in its windows."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from clozekit.data.batch import Window
from clozekit.data.labelled.paragraphs import Question

SURELY_NONE = 1e9
"""The score of "no answer" without any candidate: finite, because JSON has no infinity."""


@dataclass(frozen=True)
class Candidate:
    """A slice of a paragraph that may be the answer.

    Attributes:
        score: Larger is better; comparable between the windows of a paragraph.
        start: The index of its first character in the paragraph.
        end: The index after its last character.
    """

    score: float
    start: int
    end: int

    def text(self, question: Question) -> str:
        """Returns the text of the slice."""
        return question.context[self.start : self.end]


def best_by_ends(
    start_logits: Tensor, end_logits: Tensor, window: Window, n_best: int, max_answer_length: int
) -> list[Candidate]:
    """Finds the best spans by the sum of the scores of their first and last token.

    Args:
        start_logits: `[window's tokens]`.
        end_logits: `[window's tokens]`.
        window: The positions of the tokens in the paragraph.
        n_best: The maximum number of spans to return.
        max_answer_length: The maximum number of tokens of an answer.
    """
    return _best(start_logits[:, None] + end_logits[None, :], window, n_best, max_answer_length)


def best_by_tags(
    logits: Tensor, window: Window, n_best: int, max_answer_length: int
) -> list[Candidate]:
    """Finds the best spans by the log-odds of their tags against "no answer".

    The tags are independent given the paragraph. The score of a span is the log of a ratio: the
    probability that it is tagged B I I … and all other tokens O, to that of all tokens tagged O.

    Args:
        logits: `[window's tokens, 3]`, in the order of `ANSWER_TAGS`.
        window: The positions of the tokens in the paragraph.
        n_best: The maximum number of spans to return.
        max_answer_length: The maximum number of tokens of an answer.
    """
    outside, begin, inside = logits.unbind(dim=-1)
    sums = (inside - outside).cumsum(dim=0)
    # B for the first token, I for the tokens after it.
    scores = (begin - outside - sums)[:, None] + sums[None, :]
    return _best(scores, window, n_best, max_answer_length)


def merged(
    candidates: Sequence[list[Candidate]], windows: Sequence[Window], num_examples: int, n_best: int
) -> list[list[Candidate]]:
    """Merges the candidates of a paragraph's windows, best first and without duplicates."""
    of_example: list[dict[tuple[int, int], Candidate]] = [{} for _ in range(num_examples)]
    for found, window in zip(candidates, windows, strict=True):
        known = of_example[window.example]
        for candidate in found:
            place = (candidate.start, candidate.end)
            if place not in known or known[place].score < candidate.score:
                known[place] = candidate
    return [
        sorted(known.values(), key=lambda c: (-c.score, c.start, c.end))[:n_best]
        for known in of_example
    ]


def _best(scores: Tensor, window: Window, n_best: int, max_answer_length: int) -> list[Candidate]:
    """Selects the best `[first token, last token]` that are in order and not too long."""
    number = len(scores)
    if not number:
        return []
    is_allowed = torch.ones_like(scores, dtype=torch.bool).triu().tril(max_answer_length - 1)
    flat = scores.masked_fill(~is_allowed, float("-inf")).flatten()
    values, places = flat.topk(min(n_best, int(is_allowed.sum())))
    offsets = window.offsets
    return [
        Candidate(value, int(offsets[place // number, 0]), int(offsets[place % number, 1]))
        for value, place in zip(values.tolist(), places.tolist(), strict=True)
    ]
