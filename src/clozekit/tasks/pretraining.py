"""Pretraining with MLM and NSP or sentence order; the total loss is the sum of both losses."""

from typing import Any, Literal, NamedTuple

from torch import Tensor

from clozekit.config.data import PairObjective
from clozekit.config.encoder import EncoderConfig
from clozekit.data.batch import PretrainingBatch
from clozekit.data.step import EvaluationBatch, StepBatch
from clozekit.models import EncoderWithHeads, MaskedLMHead, NextSentenceHead, make_encoder
from clozekit.models.kernels.linear_cross_entropy import CrossEntropy
from clozekit.tasks.base import TaskModule
from clozekit.tasks.masked_lm import perplexity
from clozekit.tasks.metric_names import metrics_and_modes
from clozekit.tasks.source_metrics import ValidatesSources

_OF_PAIRS: dict[PairObjective, tuple[str, str, str]] = {
    "next_sentence": ("nsp_loss", "nsp_accuracy", "random_pairs"),
    "sentence_order": ("sop_loss", "sop_accuracy", "swapped_pairs"),
}
"""The names of the loss, the accuracy, and the share of pairs with label 1."""


class PretrainingOutput(NamedTuple):
    """The logits of both pretraining tasks.

    Attributes:
        prediction_logits: `[targets, vocab]`, for masked positions only.
        seq_relationship_logits: `[batch, 2]`; 0 is the true continuation, 1 a random one
            or, for sentence order, swapped texts.
    """

    prediction_logits: Tensor
    seq_relationship_logits: Tensor


class PretrainingLosses(NamedTuple):
    """The losses of both pretraining tasks, each summed over its targets.

    Attributes:
        masked_lm: The MLM loss, over masked tokens.
        next_sentence: The NSP or sentence-order loss, over pairs.
    """

    masked_lm: CrossEntropy
    next_sentence: CrossEntropy


class PretrainingModule(ValidatesSources, TaskModule[PretrainingBatch]):
    """BERT's pretraining (Devlin et al., 2019, section 3.1).

    The MLM loss is the mean over all masked tokens of a step, the loss of pairs over its pairs; the
    total is their sum. With sentence order (Lan et al., 2020, section 3.1), the head of NSP tells
    whether A and B were swapped.

    Args:
        encoder: The encoder's configuration.
        pair_objective: What is predicted of a pair, which names the metrics.
        **training: The arguments of `TaskModule`.
    """

    evaluates_best = False

    def __init__(
        self,
        encoder: EncoderConfig,
        pair_objective: PairObjective = "next_sentence",
        **training: Any,
    ) -> None:
        super().__init__(**training)
        self.pair_loss, self.pair_accuracy, self.other_pairs = _OF_PAIRS[pair_objective]
        built = make_encoder(encoder)
        self.model = EncoderWithHeads(
            built,
            masked_lm_head=MaskedLMHead(encoder, built.embeddings.token_embeddings),
            next_sentence_head=NextSentenceHead(encoder),
        )

    @property
    def mean_names(self) -> tuple[str, ...]:
        """The names of the means that a validation computes."""
        return ("mlm_loss", self.pair_loss, "mlm_accuracy", self.pair_accuracy, self.other_pairs)

    def forward(self, batch: PretrainingBatch) -> PretrainingOutput:
        """Computes both heads' logits."""
        sequence_output, pooled_output = self.encode(batch)
        masked = sequence_output.index_select(0, batch.masked_lm_positions)
        return PretrainingOutput(
            self.model.masked_lm_head(masked), self.model.next_sentence_head(pooled_output)
        )

    def micro_loss(self, batch: PretrainingBatch, step: StepBatch[PretrainingBatch]) -> Tensor:
        """Computes a micro-batch's share of the step's loss."""
        mlm, nsp = pretraining_losses(self.model, batch)
        if self.is_logged(step):
            self.add_to_step(
                **{
                    "mlm_loss": mlm.loss_sum,
                    self.pair_loss: nsp.loss_sum,
                    "mlm_accuracy": mlm.num_correct,
                    self.pair_accuracy: nsp.num_correct,
                    self.other_pairs: batch.next_sentence_label.sum(),
                }
            )
        return mlm.loss_sum * (1 / step.num_targets) + nsp.loss_sum * (1 / step.num_sequences)

    def validation_metrics_and_modes(self) -> dict[str, Literal["min", "max"] | None] | None:
        """Returns the names of the validation metrics, each with the mode of its best value."""
        return metrics_and_modes(("loss", "perplexity", *self.mean_names), self.validation_sources)

    def step_metrics(
        self, step: StepBatch[PretrainingBatch], sums: dict[str, float]
    ) -> dict[str, float]:
        """Returns the losses and accuracies of a step, and its share of random or swapped pairs."""
        metrics = {
            name: total / (step.num_targets if name.startswith("mlm") else step.num_sequences)
            for name, total in sums.items()
        }
        return {
            "loss": metrics["mlm_loss"] + metrics[self.pair_loss],
            **metrics,
            "perplexity": perplexity(metrics["mlm_loss"]),
        }

    def validation_step(self, loaded: EvaluationBatch[PretrainingBatch], batch_idx: int) -> None:
        """Adds the losses and correct predictions of a batch to the metrics."""
        batch = loaded.batch
        mlm, nsp = pretraining_losses(self.model, batch)
        targets, pairs = len(batch.masked_lm_labels), batch.batch_size
        self.update_metrics(
            loaded,
            {
                "mlm_loss": (mlm.loss_sum, targets),
                "mlm_accuracy": (mlm.num_correct, targets),
                self.pair_loss: (nsp.loss_sum, pairs),
                self.pair_accuracy: (nsp.num_correct, pairs),
                self.other_pairs: (batch.next_sentence_label.sum(), pairs),
            },
        )

    def with_total(self, means: dict[str, Any]) -> dict[str, Any]:
        """Returns the means, the sum of both losses, and the perplexity of masked tokens."""
        return {
            **means,
            "loss": means["mlm_loss"] + means[self.pair_loss],
            "perplexity": perplexity(float(means["mlm_loss"])),
        }


def pretraining_losses(model: EncoderWithHeads, batch: PretrainingBatch) -> PretrainingLosses:
    """Computes both losses without holding the logits of all masked tokens in memory.

    Args:
        model: An encoder with a pooler, `masked_lm_head` and `next_sentence_head`.
        batch: The batch.
    """
    output = model(batch.input_ids, batch.token_type_ids, batch.packing)
    assert output.pooled_output is not None
    masked = output.sequence_output.index_select(0, batch.masked_lm_positions)
    return PretrainingLosses(
        model.masked_lm_head.cross_entropy(masked, batch.masked_lm_labels),
        model.next_sentence_head.cross_entropy(output.pooled_output, batch.next_sentence_label),
    )
