"""Multiple choice: one score per choice from its [CLS], and a softmax over the choices."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor
from torch.nn import functional as F  # noqa: N812
from torchmetrics import Metric

from clozekit.config.encoder import EncoderConfig
from clozekit.data.batch import MultipleChoiceBatch
from clozekit.data.labelled.multiple_choice import ChoiceQuestion, MultipleChoiceDataModule
from clozekit.metrics.ratio import Ratio
from clozekit.models import EncoderWithHeads, SequenceClassificationHead, make_encoder
from clozekit.tasks.fine_tuning import FineTuningModule


class MultipleChoiceModule(FineTuningModule[MultipleChoiceBatch]):
    """One linear output on the pooled [CLS] vector of each choice (section 4.4 of the paper).

    Args:
        encoder: The encoder's configuration.
        classifier_dropout: The dropout of the pooled vector.
        **training: The arguments of `TaskModule`.
    """

    datamodule_class = MultipleChoiceDataModule
    monitor = "validation/accuracy"
    monitor_mode = "max"

    def __init__(
        self, encoder: EncoderConfig, classifier_dropout: float = 0.1, **training: Any
    ) -> None:
        super().__init__(**training)
        self.model = EncoderWithHeads(
            make_encoder(encoder),
            multiple_choice_head=SequenceClassificationHead(encoder, 1, classifier_dropout),
        )

    def forward(self, batch: MultipleChoiceBatch) -> Tensor:
        """Computes logits `[questions, choices]`."""
        logits: Tensor = self.model.multiple_choice_head(self.encode(batch).pooled_output)
        return logits.view(-1, batch.num_choices)

    def loss_sum(self, logits: Tensor, batch: MultipleChoiceBatch) -> Tensor:
        """Sums the cross-entropy over questions."""
        return F.cross_entropy(logits, batch.labels, reduction="sum")

    def num_targets(self, batch: MultipleChoiceBatch) -> int:
        """Returns the number of questions."""
        return len(batch.labels)

    def step_sums(self, logits: Tensor, batch: MultipleChoiceBatch) -> dict[str, Tensor]:
        """Counts the questions with the right choice."""
        return {"accuracy": (logits.argmax(dim=-1) == batch.labels).sum()}

    def new_metrics(self) -> dict[str, Metric]:
        """Makes the accuracy over questions."""
        return {"accuracy": Ratio(self.device)}

    def update_metrics(
        self, metrics: Mapping[str, Any], logits: Tensor, batch: MultipleChoiceBatch
    ) -> None:
        """Adds a batch's predictions."""
        is_correct = logits.argmax(dim=-1) == batch.labels
        metrics["accuracy"].update(is_correct.sum(), len(is_correct))

    def decode(self, logits: Tensor, batch: MultipleChoiceBatch) -> list[dict[str, Any]]:
        """Returns each question's choice, from 0, and the probabilities of all choices."""
        return [
            {"label": max(range(len(row)), key=row.__getitem__), "scores": row}
            for row in logits.softmax(dim=-1).tolist()
        ]

    def gold(self, example: ChoiceQuestion) -> int:
        """Returns the index of the right choice."""
        return example.label
