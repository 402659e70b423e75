"""Pretraining: masked words and next sentences, their two losses summed."""

from typing import Any, Literal

from torch import Tensor
from torchmetrics import MeanMetric, MetricCollection

from clozekit.config.encoder import EncoderConfig
from clozekit.data.batch import PretrainingBatch, Step
from clozekit.models.pretraining import PretrainingLosses, PretrainingModel, PretrainingOutput
from clozekit.tasks.base import TaskModule, step_of
from clozekit.tasks.masked_lm import perplexity
from clozekit.tasks.metric_names import metrics_and_modes

_SUMMED = ("mlm_loss", "nsp_loss", "mlm_accuracy", "nsp_accuracy", "random_pairs")


class PretrainingModule(TaskModule[PretrainingBatch]):
    """BERT's pretraining (Devlin et al., 2019, section 3.1).

    The MLM loss is the mean over all masked tokens of a global step, the NSP loss over its pairs;
    the total is their sum.

    Args:
        encoder: The encoder's configuration.
        **training: The arguments of `TaskModule`.
    """

    model: PretrainingModel
    evaluates_best = False

    def __init__(self, encoder: EncoderConfig, **training: Any) -> None:
        super().__init__(**training)
        self.model = PretrainingModel(encoder)
        self.validation_metrics = MetricCollection(
            {name: MeanMetric() for name in _SUMMED},
            prefix="validation/",
        )

    def forward(self, batch: PretrainingBatch) -> PretrainingOutput:
        """Computes both heads' logits."""
        output: PretrainingOutput = self.model(
            batch.input_ids, batch.token_type_ids, batch.packing, batch.masked_lm_positions
        )
        return output

    def training_step(self, batch: PretrainingBatch, batch_idx: int) -> Tensor:
        """Computes a micro-batch's share of the global step's loss."""
        step = step_of(batch)
        mlm, nsp = self._losses(batch)
        loss = self.as_global_mean(mlm.loss_sum, step.num_targets) + self.as_global_mean(
            nsp.loss_sum, step.num_sequences
        )
        self.guard.watch(loss, batch)
        if self.is_logged(step):
            self.add_to_step(
                mlm_loss=mlm.loss_sum,
                nsp_loss=nsp.loss_sum,
                mlm_accuracy=mlm.num_correct,
                nsp_accuracy=nsp.num_correct,
                random_pairs=batch.next_sentence_label.sum(),
            )
        return loss

    def validation_metrics_and_modes(self) -> dict[str, Literal["min", "max"] | None] | None:
        """Gives the validation's metrics, each with its best value's side where it has one."""
        return metrics_and_modes(("loss", "perplexity", *_SUMMED))

    def step_metrics(self, step: Step, sums: dict[str, float]) -> dict[str, float]:
        """Gives both losses and accuracies of a global step, and its share of random pairs."""
        metrics = {
            name: total / (step.num_targets if name.startswith("mlm") else step.num_sequences)
            for name, total in sums.items()
        }
        return {
            "loss": metrics["mlm_loss"] + metrics["nsp_loss"],
            **metrics,
            "perplexity": perplexity(metrics["mlm_loss"]),
        }

    def validation_step(self, batch: PretrainingBatch, batch_idx: int) -> None:
        """Gathers losses and accuracies, weighted by what they are means of."""
        mlm, nsp = self._losses(batch)
        targets, pairs = len(batch.masked_lm_labels), batch.batch_size
        metrics = self.validation_metrics
        metrics["mlm_loss"].update(mlm.loss_sum / targets, targets)
        metrics["mlm_accuracy"].update(mlm.num_correct / targets, targets)
        metrics["nsp_loss"].update(nsp.loss_sum / pairs, pairs)
        metrics["nsp_accuracy"].update(nsp.num_correct / pairs, pairs)
        metrics["random_pairs"].update(batch.next_sentence_label.sum() / pairs, pairs)

    def on_validation_epoch_end(self) -> None:
        """Logs the validation metrics, each example counted once over all processes."""
        metrics = self.validation_metrics.compute()
        self.validation_metrics.reset()
        mlm_loss, nsp_loss = metrics["validation/mlm_loss"], metrics["validation/nsp_loss"]
        metrics["validation/loss"] = mlm_loss + nsp_loss
        metrics["validation/perplexity"] = perplexity(float(mlm_loss))
        self.log_evaluation(metrics)

    def _losses(self, batch: PretrainingBatch) -> PretrainingLosses:
        return self.model.losses(
            batch.input_ids,
            batch.token_type_ids,
            batch.packing,
            batch.masked_lm_positions,
            batch.masked_lm_labels,
            batch.next_sentence_label,
        )
