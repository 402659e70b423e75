"""MLM without NSP."""

import math
from typing import Any, Literal

from torch import Tensor

from clozekit.config.encoder import EncoderConfig
from clozekit.data.batch import MaskedLMBatch
from clozekit.data.step import EvaluationBatch, StepBatch
from clozekit.models import EncoderWithHeads, MaskedLMHead, make_encoder
from clozekit.models.kernels.linear_cross_entropy import CrossEntropy
from clozekit.tasks.base import TaskModule
from clozekit.tasks.metric_names import metrics_and_modes
from clozekit.tasks.source_metrics import ValidatesSources


class MaskedLMModule(ValidatesSources, TaskModule[MaskedLMBatch]):
    """Pretraining with MLM only (Liu et al., 2019, section 4.2).

    The loss is the mean over all masked tokens of a step. There is no pooler and no NSP head,
    because nothing would train them.

    Args:
        encoder: The encoder's configuration.
        **training: The arguments of `TaskModule`.
    """

    evaluates_best = False

    def __init__(self, encoder: EncoderConfig, **training: Any) -> None:
        super().__init__(**training)
        built = make_encoder(encoder, add_pooling_layer=False)
        self.model = EncoderWithHeads(
            built, masked_lm_head=MaskedLMHead(encoder, built.embeddings.token_embeddings)
        )

    @property
    def mean_names(self) -> tuple[str, ...]:
        """The names of the means that a validation computes."""
        return ("mlm_loss", "mlm_accuracy")

    def forward(self, batch: MaskedLMBatch) -> Tensor:
        """Computes the logits of masked tokens."""
        masked = self.encode(batch).sequence_output.index_select(0, batch.masked_lm_positions)
        logits: Tensor = self.model.masked_lm_head(masked)
        return logits

    def micro_loss(self, batch: MaskedLMBatch, step: StepBatch[MaskedLMBatch]) -> Tensor:
        """Computes a micro-batch's share of the step's loss."""
        mlm = self._cross_entropy(batch)
        if self.is_logged(step):
            self.add_to_step(mlm_loss=mlm.loss_sum, mlm_accuracy=mlm.num_correct)
        return mlm.loss_sum * (1 / step.num_targets)

    def validation_metrics_and_modes(self) -> dict[str, Literal["min", "max"] | None] | None:
        """Returns the names of the validation metrics, each with the mode of its best value."""
        names = ("loss", "perplexity", *self.mean_names)
        return metrics_and_modes(names, self.validation_sources)

    def step_metrics(
        self, step: StepBatch[MaskedLMBatch], sums: dict[str, float]
    ) -> dict[str, float]:
        """Returns the loss, accuracy and perplexity of a step."""
        metrics = {name: total / step.num_targets for name, total in sums.items()}
        mlm_loss = metrics["mlm_loss"]
        return {"loss": mlm_loss, **metrics, "perplexity": perplexity(mlm_loss)}

    def validation_step(self, loaded: EvaluationBatch[MaskedLMBatch], batch_idx: int) -> None:
        """Adds the loss and correct predictions of a batch to the metrics."""
        batch = loaded.batch
        mlm = self._cross_entropy(batch)
        targets = len(batch.masked_lm_labels)
        self.update_metrics(
            loaded,
            {"mlm_loss": (mlm.loss_sum, targets), "mlm_accuracy": (mlm.num_correct, targets)},
        )

    def with_total(self, means: dict[str, Any]) -> dict[str, Any]:
        """Returns the means, the loss by its general name, and the perplexity."""
        loss = means["mlm_loss"]
        return {**means, "loss": loss, "perplexity": perplexity(float(loss))}

    def _cross_entropy(self, batch: MaskedLMBatch) -> CrossEntropy:
        masked = self.encode(batch).sequence_output.index_select(0, batch.masked_lm_positions)
        return self.model.masked_lm_head.cross_entropy(masked, batch.masked_lm_labels)


def perplexity(mlm_loss: float) -> float:
    """Returns the exponential of a loss, or infinity if it is too large for a float."""
    return math.inf if mlm_loss >= 700 else math.exp(mlm_loss)
