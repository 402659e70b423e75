"""The base class of all fine-tuning tasks: training, evaluation and prediction of a batch."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, TypeVar

from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torchmetrics import Metric

from clozekit.data.batch import Batch
from clozekit.data.files.rows import MISSING_LABEL
from clozekit.data.labelled.features import Features
from clozekit.data.labelled.labelled_datamodule import LabelledDataModule
from clozekit.data.step import EvaluationBatch, StepBatch
from clozekit.metrics.ratio import Ratio
from clozekit.models.precision import upcast
from clozekit.tasks.base import TaskModule
from clozekit.tasks.metric_names import metrics_and_modes, names_of

BatchT = TypeVar("BatchT", bound=Batch)


class FineTuningModule(TaskModule[BatchT]):
    """An encoder and a head. Subclasses define the loss, the metrics and the predictions.

    Args:
        **training: The arguments of `TaskModule`.

    Attributes:
        datamodule_class: The DataModule of the task.
        label_names: The classes in the order of their ids, if any.
        unknown_labels: The gold labels of the evaluated rows that the model does not have. Their
            ids follow those of `label_names`, and they count as errors in all metrics.
    """

    datamodule_class: ClassVar[type[LabelledDataModule[Any]]]
    label_names: list[str] | None = None
    unknown_labels: Sequence[str] = ()

    def __init__(self, **training: Any) -> None:
        super().__init__(**training)
        self.evaluation = nn.ModuleDict()

    @property
    def features_class(self) -> type[Features[Any]]:
        """The class that reads and encodes the rows of the task."""
        return self.datamodule_class.features_class

    @abstractmethod
    def forward(self, batch: BatchT) -> Tensor:
        """Computes the head's logits."""

    @abstractmethod
    def loss_sum(self, logits: Tensor, batch: BatchT) -> Tensor:
        """Computes the loss, summed over the batch's targets."""

    def evaluation_loss(self, logits: Tensor, batch: BatchT) -> tuple[Tensor, int]:
        """Computes the loss of evaluation, which can be compared between runs.

        It has no class weights and no label smoothing, whatever training uses.

        Returns:
            The loss, summed over the batch's targets, and their number. Unknown labels have none.
        """
        return self.loss_sum(logits, batch), self.num_targets(batch)

    @abstractmethod
    def num_targets(self, batch: BatchT) -> int:
        """Returns the number of targets that the loss of a batch is averaged over."""

    def step_sums(self, logits: Tensor, batch: BatchT) -> dict[str, Tensor]:
        """Returns what is logged for training batches besides the loss, summed over targets."""
        return {}

    @abstractmethod
    def new_metrics(self) -> dict[str, Metric]:
        """Makes the metrics of a split. A metric may compute a dict of several values."""

    @abstractmethod
    def update_metrics(self, metrics: Mapping[str, Any], logits: Tensor, batch: BatchT) -> None:
        """Adds a batch to a split's metrics."""

    @abstractmethod
    def decode(self, logits: Tensor, batch: BatchT) -> list[dict[str, Any]]:
        """Returns the prediction for each example of a batch, as plain values."""

    @abstractmethod
    def gold(self, example: Any) -> Any:
        """Returns an example's label in the format of the predictions."""

    def micro_loss(self, batch: BatchT, step: StepBatch[BatchT]) -> Tensor:
        """Computes a micro-batch's share of the step's loss."""
        logits = upcast(self(batch))
        loss_sum = self.loss_sum(logits, batch)
        if self.is_logged(step):
            self.add_to_step(loss=loss_sum, **self.step_sums(logits.detach(), batch))
        return loss_sum * (1 / step.num_targets)

    def step_metrics(self, step: StepBatch[BatchT], sums: dict[str, float]) -> dict[str, float]:
        """Returns the loss of a step and the other values of `step_sums`."""
        return {name: total / step.num_targets for name, total in sums.items()}

    def on_validation_epoch_start(self) -> None:
        """Resets the metrics of the validation split."""
        self._begin("validation")

    def on_test_epoch_start(self) -> None:
        """Resets the metrics of the test split."""
        self._begin("test")

    def validation_step(self, loaded: EvaluationBatch[BatchT], batch_idx: int) -> None:
        """Updates the metrics of the validation split."""
        self.evaluate_batch(self._metrics("validation"), loaded.batch)

    def test_step(self, loaded: EvaluationBatch[BatchT], batch_idx: int) -> None:
        """Updates the metrics of the test split."""
        self.evaluate_batch(self._metrics("test"), loaded.batch)

    def on_validation_epoch_end(self) -> None:
        """Logs the validation metrics, each example counted once over all processes."""
        self._report("validation")

    def on_test_epoch_end(self) -> None:
        """Logs the test metrics, each example counted once over all processes."""
        self._report("test")

    def metrics_of_a_split(self) -> nn.ModuleDict:
        """Makes the metrics of a split, including the loss."""
        return nn.ModuleDict({"loss": Ratio(self.device), **self.new_metrics()})

    def validation_metrics_and_modes(self) -> dict[str, Literal["min", "max"] | None] | None:
        """Returns the names of the validation metrics, each with the mode of its best value.

        Returns:
            `min`, `max` or None for each name; None instead of a dict if the names of a metric's
            values are not known.
        """
        names = [names_of(name, metric) for name, metric in self.metrics_of_a_split().items()]
        if any(of_one is None for of_one in names):
            return None
        return metrics_and_modes(name for of_one in names for name in of_one or ())

    def evaluate_batch(self, metrics: nn.ModuleDict, batch: BatchT) -> Tensor:
        """Adds a batch to a split's metrics; returns its logits."""
        logits = upcast(self(batch))
        loss_sum, num_targets = self.evaluation_loss(logits, batch)
        metrics["loss"].update(loss_sum, num_targets)  # type: ignore[operator]
        self.update_metrics(metrics, logits, batch)  # type: ignore[arg-type]
        return logits

    def _begin(self, split: str) -> None:
        self.evaluation[split] = self.metrics_of_a_split().to(self.device)

    def _metrics(self, split: str) -> nn.ModuleDict:
        metrics = self.evaluation[split]
        assert isinstance(metrics, nn.ModuleDict)
        return metrics

    def _report(self, split: str) -> None:
        computed = computed_metrics(self._metrics(split))
        self.log_evaluation({f"{split}/{name}": value for name, value in computed.items()})
        del self.evaluation[split]


def computed_metrics(metrics: nn.ModuleDict) -> dict[str, Tensor]:
    """Computes a split's metrics. A metric with several values adds each under its own name."""
    computed: dict[str, Tensor] = {}
    for name, metric in metrics.items():
        value = metric.compute()  # type: ignore[operator]
        computed |= value if isinstance(value, dict) else {name: value}
    return computed


def known_cross_entropy(logits: Tensor, labels: Tensor) -> tuple[Tensor, int]:
    """Sums the cross-entropy over labels that the model has.

    Args:
        logits: `[targets, labels]`.
        labels: `[targets]`. Missing and unknown labels are left out.

    Returns:
        The sum, and the number of labels in it.
    """
    is_known = (labels >= 0) & (labels < logits.shape[1])
    known = labels.where(is_known, MISSING_LABEL)
    loss = F.cross_entropy(logits, known, reduction="sum", ignore_index=MISSING_LABEL)
    return loss, int(is_known.sum())
