"""What both ways of answering questions share: metrics, and the form of a prediction."""

import math
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, Literal, TypeVar

from torch import Tensor
from torchmetrics import Metric

from clozekit.data.batch import AnswerTaggingBatch, QuestionAnsweringBatch
from clozekit.data.labelled.paragraphs import Question
from clozekit.metrics.squad_metric import OF_UNANSWERABLE, SquadMetric, final_answer
from clozekit.tasks.fine_tuning import FineTuningModule
from clozekit.tasks.metric_names import metrics_and_modes
from clozekit.tasks.spans import Candidate

BatchT = TypeVar("BatchT", bound=QuestionAnsweringBatch | AnswerTaggingBatch)

NEVER = -math.inf
"""The score of "no answer" where every question has one."""


class AnsweringModule(FineTuningModule[BatchT]):
    """Finds answers in paragraphs. A way of answering says how its logits rank them.

    Args:
        has_unanswerable: Whether there are questions without an answer; without, every question
            gets one.
        n_best: How many candidates are kept of a paragraph.
        max_answer_length: The most tokens of an answer.
        no_answer_threshold: What the score of "no answer" must exceed for there to be none. The
            best one on a split is reported with its metrics.
        **training: The arguments of `TaskModule`.
    """

    monitor = "validation/f1"
    monitor_mode = "max"

    def __init__(
        self,
        has_unanswerable: bool = False,
        n_best: int = 20,
        max_answer_length: int = 30,
        no_answer_threshold: float = 0.0,
        **training: Any,
    ) -> None:
        super().__init__(**training)
        self.has_unanswerable = has_unanswerable
        self.n_best = n_best
        self.max_answer_length = max_answer_length
        self.no_answer_threshold = no_answer_threshold

    def validation_metrics_and_modes(self) -> dict[str, Literal["min", "max"] | None] | None:
        """Gives the validation's metrics, each with its best value's side where it has one."""
        more = OF_UNANSWERABLE if self.has_unanswerable else ()
        return metrics_and_modes(("loss", "exact_match", "f1", *more))

    @abstractmethod
    def answers(self, logits: Tensor, batch: BatchT) -> list[tuple[list[Candidate], float]]:
        """Gives every example's candidates, the best first, and the score of "no answer"."""

    def new_metrics(self) -> dict[str, Metric]:
        """Makes exact match and F1 by the official rules."""
        return {"answers": SquadMetric(self.no_answer_threshold)}

    def update_metrics(self, metrics: Mapping[str, Any], logits: Tensor, batch: BatchT) -> None:
        """Adds a batch's predictions."""
        found = self.answers(logits, batch)
        questions = batch.examples
        metrics["answers"].update(
            [
                candidates[0].text(question) if candidates else ""
                for (candidates, _), question in zip(found, questions, strict=True)
            ],
            [question.answers for question in questions],
            [self._no_answer_score(score) for _, score in found],
        )

    def decode(self, logits: Tensor, batch: BatchT) -> list[dict[str, Any]]:
        """Gives every question's answer, its place in the paragraph, and the best candidates."""
        return [
            self._prediction(question, candidates, self._no_answer_score(score))
            for question, (candidates, score) in zip(
                batch.examples, self.answers(logits, batch), strict=True
            )
        ]

    def gold(self, example: Question) -> list[str]:
        """Gives the right answers; none where there is none."""
        return list(example.answers)

    def _no_answer_score(self, score: float) -> float:
        return score if self.has_unanswerable else NEVER

    def _prediction(
        self, question: Question, candidates: list[Candidate], no_answer_score: float
    ) -> dict[str, Any]:
        best = candidates[0] if candidates else None
        answer = "" if best is None else best.text(question)
        is_none = final_answer(answer, no_answer_score, self.no_answer_threshold) == ""
        total = sum(math.exp(c.score - candidates[0].score) for c in candidates)
        prediction: dict[str, Any] = {
            "answer": "" if is_none else answer,
            "start": None if is_none or best is None else best.start,
            "end": None if is_none or best is None else best.end,
            "candidates": [
                {
                    "text": candidate.text(question),
                    "start": candidate.start,
                    "end": candidate.end,
                    "probability": math.exp(candidate.score - candidates[0].score) / total,
                }
                for candidate in candidates[:5]
            ],
        }
        if self.has_unanswerable:
            prediction["no_answer_score"] = no_answer_score
        return prediction
