"""From scores of a window's tokens to the best answers in a paragraph."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from clozekit.data.batch import Window
from clozekit.data.labelled.paragraphs import Question

SURELY_NONE = 1e9
"""The score of "no answer" where nothing could be one: a number, for files have no infinity."""


@dataclass(frozen=True)
class Candidate:
    """A slice of a paragraph that may be the answer.

    Attributes:
        score: Larger is better; comparable over the windows of a paragraph.
        start: Its first character's place in the paragraph.
        end: The place behind its last character.
    """

    score: float
    start: int
    end: int

    def text(self, question: Question) -> str:
        """Gives the slice."""
        return question.context[self.start : self.end]


def best_by_ends(
    start_logits: Tensor, end_logits: Tensor, window: Window, n_best: int, max_answer_length: int
) -> list[Candidate]:
    """Finds the best spans by the sum of their first and their last token's score.

    Args:
        start_logits: `[window's tokens]`.
        end_logits: `[window's tokens]`.
        window: Where the tokens lie in the paragraph.
        n_best: How many are given.
        max_answer_length: The most tokens of an answer.
    """
    return _best(start_logits[:, None] + end_logits[None, :], window, n_best, max_answer_length)


def best_by_tags(
    logits: Tensor, window: Window, n_best: int, max_answer_length: int
) -> list[Candidate]:
    """Finds the best spans by their tags' log-odds against a paragraph without an answer.

    With tags that are independent given the paragraph, a span's score is the logarithm of how much
    likelier it is that it is tagged B I I … and all else O, than that all is O.

    Args:
        logits: `[window's tokens, 3]`, in the order of `ANSWER_TAGS`.
        window: Where the tokens lie in the paragraph.
        n_best: How many are given.
        max_answer_length: The most tokens of an answer.
    """
    outside, begin, inside = logits.unbind(dim=-1)
    sums = (inside - outside).cumsum(dim=0)
    # B at its first token, then I at those up to its last.
    scores = (begin - outside - sums)[:, None] + sums[None, :]
    return _best(scores, window, n_best, max_answer_length)


def merged(
    candidates: Sequence[list[Candidate]], windows: Sequence[Window], num_examples: int, n_best: int
) -> list[list[Candidate]]:
    """Puts the candidates of a paragraph's windows together, the best first, each slice once."""
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
    """Takes the best of `[first token, last token]` that are in order and not too long."""
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
