"""Regression: a score for one text or a pair of texts from [CLS]."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor
from torch.nn import functional as F  # noqa: N812
from torchmetrics import Metric

from clozekit.config.encoder import EncoderConfig
from clozekit.data.batch import RegressionBatch
from clozekit.data.labelled.regression import RegressionDataModule, ScoredText
from clozekit.metrics.correlation import ScoreMetrics
from clozekit.models import EncoderWithHeads, SequenceClassificationHead, make_encoder
from clozekit.tasks.fine_tuning import FineTuningModule


class RegressionModule(FineTuningModule[RegressionBatch]):
    """One linear output on the pooled [CLS] vector, with squared error (STS-B in section 4.1).

    Args:
        encoder: The encoder's configuration.
        classifier_dropout: The dropout of the pooled vector.
        **training: The arguments of `TaskModule`.
    """

    datamodule_class = RegressionDataModule
    monitor = "validation/pearson"
    monitor_mode = "max"

    def __init__(
        self, encoder: EncoderConfig, classifier_dropout: float = 0.1, **training: Any
    ) -> None:
        super().__init__(**training)
        self.model = EncoderWithHeads(
            make_encoder(encoder),
            classification_head=SequenceClassificationHead(encoder, 1, classifier_dropout),
        )

    def forward(self, batch: RegressionBatch) -> Tensor:
        """Computes scores `[batch]`."""
        logits: Tensor = self.model.classification_head(self.encode(batch).pooled_output)
        return logits.squeeze(-1)

    def loss_sum(self, logits: Tensor, batch: RegressionBatch) -> Tensor:
        """Sums the squared error over texts."""
        return F.mse_loss(logits, batch.scores.to(logits), reduction="sum")

    def num_targets(self, batch: RegressionBatch) -> int:
        """Returns the number of texts."""
        return batch.batch_size

    def new_metrics(self) -> dict[str, Metric]:
        """Makes Pearson's and Spearman's correlation and the mean squared error."""
        return {"scores": ScoreMetrics()}

    def update_metrics(
        self, metrics: Mapping[str, Any], logits: Tensor, batch: RegressionBatch
    ) -> None:
        """Adds a batch's predictions."""
        metrics["scores"].update(logits, batch.scores)

    def decode(self, logits: Tensor, batch: RegressionBatch) -> list[dict[str, Any]]:
        """Returns the score of each text."""
        return [{"score": score} for score in logits.tolist()]

    def gold(self, example: ScoredText) -> float:
        """Returns the score."""
        return example.score
