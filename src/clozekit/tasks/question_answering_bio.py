"""Question answering by predicting one of the tags O, B and I for each token of the paragraph."""

from typing import Any

from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from clozekit.config.encoder import EncoderConfig
from clozekit.data.batch import ANSWER_TAGS, AnswerTaggingBatch
from clozekit.data.labelled.question_answering_bio import QuestionAnsweringBIODataModule
from clozekit.models import EncoderWithHeads, TokenClassificationHead, make_encoder
from clozekit.tasks.answering import AnsweringModule
from clozekit.tasks.spans import SURELY_NONE, Candidate, best_by_tags, merged


class QuestionAnsweringBIOModule(AnsweringModule[AnswerTaggingBatch]):
    """Tags the tokens of the paragraph; the answer is the most likely span `B I I …`.

    The score of "no answer" is the log-odds of no answer against the best span.

    Args:
        encoder: The encoder's configuration.
        classifier_dropout: The dropout of the tokens' vectors.
        **answering: The arguments of `AnsweringModule`.
    """

    datamodule_class = QuestionAnsweringBIODataModule

    def __init__(
        self, encoder: EncoderConfig, classifier_dropout: float = 0.1, **answering: Any
    ) -> None:
        super().__init__(**answering)
        self.model = EncoderWithHeads(
            make_encoder(encoder, add_pooling_layer=False),
            answer_tagging_head=TokenClassificationHead(
                encoder, len(ANSWER_TAGS), classifier_dropout
            ),
        )

    def forward(self, batch: AnswerTaggingBatch) -> Tensor:
        """Computes logits `[targets, 3]`, one row per token of the paragraphs."""
        paragraphs = self.encode(batch).sequence_output.index_select(0, batch.positions)
        logits: Tensor = self.model.answer_tagging_head(paragraphs)
        return logits

    def loss_sum(self, logits: Tensor, batch: AnswerTaggingBatch) -> Tensor:
        """Sums the cross-entropy over the paragraphs' tokens."""
        return F.cross_entropy(logits, batch.labels, reduction="sum")

    def num_targets(self, batch: AnswerTaggingBatch) -> int:
        """Returns the number of tokens of the paragraphs."""
        return len(batch.labels)

    def step_sums(self, logits: Tensor, batch: AnswerTaggingBatch) -> dict[str, Tensor]:
        """Counts the tokens with the right tag."""
        return {"accuracy": (logits.argmax(dim=-1) == batch.labels).sum()}

    def answers(
        self, logits: Tensor, batch: AnswerTaggingBatch
    ) -> list[tuple[list[Candidate], float]]:
        """Returns each question's spans, ranked by the log-odds of their tags."""
        logits, every, begin = logits.float().cpu(), [], 0
        for window in batch.windows:
            of_window = logits[begin : begin + len(window.offsets)]
            begin += len(window.offsets)
            every.append(best_by_tags(of_window, window, self.n_best, self.max_answer_length))
        ranked = merged(every, batch.windows, len(batch.examples), self.n_best)
        return [
            (candidates, -candidates[0].score if candidates else SURELY_NONE)
            for candidates in ranked
        ]
