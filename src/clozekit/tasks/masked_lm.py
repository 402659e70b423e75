"""MLM alone: masked words, without next sentences."""

import math
from typing import Any, Literal

from torch import Tensor
from torchmetrics import MeanMetric, MetricCollection

from clozekit.config.encoder import EncoderConfig
from clozekit.data.batch import MaskedLMBatch, Step
from clozekit.models.kernels.linear_cross_entropy import CrossEntropy
from clozekit.models.masked_lm import MaskedLMModel
from clozekit.tasks.base import TaskModule, step_of
from clozekit.tasks.metric_names import metrics_and_modes


class MaskedLMModule(TaskModule[MaskedLMBatch]):
    """Pretraining by masked words alone (Liu et al., 2019, section 4.2).

    The loss is the mean over all masked tokens of a global step. Neither a pooler nor a head for
    next sentences is made, which nothing would train.

    Args:
        encoder: The encoder's configuration.
        **training: The arguments of `TaskModule`.
    """

    model: MaskedLMModel
    evaluates_best = False

    def __init__(self, encoder: EncoderConfig, **training: Any) -> None:
        super().__init__(**training)
        self.model = MaskedLMModel(encoder)
        self.validation_metrics = MetricCollection(
            {name: MeanMetric() for name in ("mlm_loss", "mlm_accuracy")}, prefix="validation/"
        )

    def forward(self, batch: MaskedLMBatch) -> Tensor:
        """Computes the logits of masked tokens."""
        logits: Tensor = self.model(
            batch.input_ids, batch.token_type_ids, batch.packing, batch.masked_lm_positions
        )
        return logits

    def training_step(self, batch: MaskedLMBatch, batch_idx: int) -> Tensor:
        """Computes a micro-batch's share of the global step's loss."""
        step = step_of(batch)
        mlm = self._cross_entropy(batch)
        loss = self.as_global_mean(mlm.loss_sum, step.num_targets)
        self.guard.watch(loss, batch)
        if self.is_logged(step):
            self.add_to_step(mlm_loss=mlm.loss_sum, mlm_accuracy=mlm.num_correct)
        return loss

    def validation_metrics_and_modes(self) -> dict[str, Literal["min", "max"] | None] | None:
        """Gives the validation's metrics, each with its best value's side."""
        return metrics_and_modes(("loss", "perplexity", "mlm_loss", "mlm_accuracy"))

    def step_metrics(self, step: Step, sums: dict[str, float]) -> dict[str, float]:
        """Gives loss, accuracy and perplexity of a global step."""
        metrics = {name: total / step.num_targets for name, total in sums.items()}
        mlm_loss = metrics["mlm_loss"]
        return {"loss": mlm_loss, **metrics, "perplexity": perplexity(mlm_loss)}

    def validation_step(self, batch: MaskedLMBatch, batch_idx: int) -> None:
        """Gathers loss and accuracy, weighted by the number of masked tokens."""
        mlm = self._cross_entropy(batch)
        targets = len(batch.masked_lm_labels)
        metrics = self.validation_metrics
        metrics["mlm_loss"].update(mlm.loss_sum / targets, targets)
        metrics["mlm_accuracy"].update(mlm.num_correct / targets, targets)

    def on_validation_epoch_end(self) -> None:
        """Logs the validation metrics, each masked token counted once over all processes."""
        metrics = self.validation_metrics.compute()
        self.validation_metrics.reset()
        mlm_loss = metrics["validation/mlm_loss"]
        metrics["validation/loss"] = mlm_loss
        metrics["validation/perplexity"] = perplexity(float(mlm_loss))
        self.log_evaluation(metrics)

    def _cross_entropy(self, batch: MaskedLMBatch) -> CrossEntropy:
        return self.model.cross_entropy(
            batch.input_ids,
            batch.token_type_ids,
            batch.packing,
            batch.masked_lm_positions,
            batch.masked_lm_labels,
        )


def perplexity(mlm_loss: float) -> float:
    """Gives the exponential of a loss, infinite where a float cannot hold it."""
    return math.exp(mlm_loss) if mlm_loss < 700 else math.inf
