"""Shared by both question answering tasks: metrics and the format of predictions."""

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

MOST_CANDIDATES = 5
"""The most candidates that a prediction lists."""

NEVER = -math.inf
"""The score of "no answer" if every question has an answer."""


class AnsweringModule(FineTuningModule[BatchT]):
    """Finds answers in paragraphs. Subclasses define how logits rank candidate answers.

    Args:
        has_unanswerable: Whether there are questions without an answer. If not, every question
            gets an answer.
        n_best: The number of candidates kept per paragraph.
        max_answer_length: The maximum number of tokens of an answer.
        no_answer_threshold: "No answer" is predicted if its score exceeds this threshold. The
            metrics of a split include the best threshold.
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
        """Returns the names of the validation metrics, each with the mode of its best value."""
        more = OF_UNANSWERABLE if self.has_unanswerable else ()
        return metrics_and_modes(("loss", "exact_match", "f1", *more))

    @abstractmethod
    def answers(self, logits: Tensor, batch: BatchT) -> list[tuple[list[Candidate], float]]:
        """Returns each example's candidates, best first, and its score of "no answer"."""

    def new_metrics(self) -> dict[str, Metric]:
        """Makes exact match and F1 as in the official SQuAD evaluation."""
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
        """Returns each question's answer, its place in the paragraph, and the best candidates."""
        return [
            self._prediction(question, candidates, self._no_answer_score(score))
            for question, (candidates, score) in zip(
                batch.examples, self.answers(logits, batch), strict=True
            )
        ]

    def gold(self, example: Question) -> list[str]:
        """Returns the right answers; empty if there is no answer."""
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
                for candidate in candidates[:MOST_CANDIDATES]
            ],
        }
        if self.has_unanswerable:
            prediction["no_answer_score"] = no_answer_score
        return prediction
