"""Question answering by predicting the start and end of the answer."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from clozekit.config.encoder import EncoderConfig
from clozekit.data.batch import QuestionAnsweringBatch
from clozekit.data.labelled.question_answering import QuestionAnsweringDataModule
from clozekit.data.packing import Packing
from clozekit.models import AnswerSpanHead, EncoderWithHeads, make_encoder
from clozekit.tasks.answering import AnsweringModule
from clozekit.tasks.spans import SURELY_NONE, Candidate, best_by_ends, merged


class QuestionAnsweringModule(AnsweringModule[QuestionAnsweringBatch]):
    """Scores each token as the answer's first and last one (sections 4.2 and 4.3 of the paper).

    In a sequence without an answer, start and end are at [CLS]. The score of "no answer" is the
    score of [CLS] minus the score of the best span, over all windows of a paragraph.

    Args:
        encoder: The encoder's configuration.
        **answering: The arguments of `AnsweringModule`.
    """

    datamodule_class = QuestionAnsweringDataModule

    def __init__(self, encoder: EncoderConfig, **answering: Any) -> None:
        super().__init__(**answering)
        self.model = EncoderWithHeads(
            make_encoder(encoder, add_pooling_layer=False),
            question_answering_head=AnswerSpanHead(encoder),
        )

    def forward(self, batch: QuestionAnsweringBatch) -> Tensor:
        """Computes logits `[tokens, 2]`."""
        logits: Tensor = self.model.question_answering_head(self.encode(batch).sequence_output)
        return logits

    def loss_sum(self, logits: Tensor, batch: QuestionAnsweringBatch) -> Tensor:
        """Sums over sequences the mean of the start's and the end's cross-entropy."""
        starts, ends = _padded(logits, batch.packing)
        return 0.5 * (
            F.cross_entropy(starts, batch.start_positions, reduction="sum")
            + F.cross_entropy(ends, batch.end_positions, reduction="sum")
        )

    def num_targets(self, batch: QuestionAnsweringBatch) -> int:
        """Returns the number of sequences."""
        return batch.batch_size

    def answers(
        self, logits: Tensor, batch: QuestionAnsweringBatch
    ) -> list[tuple[list[Candidate], float]]:
        """Returns each question's spans, ranked by the sum of the scores of start and end."""
        logits = logits.float().cpu()
        bounds = batch.packing.cu_seqlens.tolist()
        every, nulls = [], [float("inf")] * len(batch.examples)
        for window, begin in zip(batch.windows, bounds[:-1], strict=True):
            first = begin + window.begin
            starts, ends = logits[first : first + len(window.offsets)].unbind(dim=-1)
            every.append(best_by_ends(starts, ends, window, self.n_best, self.max_answer_length))
            null = float(logits[begin].sum())
            nulls[window.example] = min(nulls[window.example], null)
        ranked = merged(every, batch.windows, len(batch.examples), self.n_best)
        return [
            (candidates, null - candidates[0].score if candidates else SURELY_NONE)
            for candidates, null in zip(ranked, nulls, strict=True)
        ]

    def step_sums(self, logits: Tensor, batch: QuestionAnsweringBatch) -> dict[str, Tensor]:
        """Counts the sequences with the right start and end."""
        starts, ends = (each.argmax(dim=-1) for each in _padded(logits, batch.packing))
        right = torch.logical_and(starts == batch.start_positions, ends == batch.end_positions)
        return {"accuracy": right.sum()}


def _padded(logits: Tensor, packing: Packing) -> tuple[Tensor, Tensor]:
    """Returns the logits of starts and of ends, each `[batch, max_seqlen]`, -inf at padding."""
    is_padding = ~packing.attention_mask
    starts, ends = (
        packing.pad(each).masked_fill(is_padding, float("-inf")) for each in logits.unbind(dim=-1)
    )
    return starts, ends
