"""What all fine-tuning tasks share: a step, a validation, a prediction of what a batch holds."""

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, TypeVar

from torch import Tensor, nn
from torchmetrics import MeanMetric, Metric

from clozekit.data.batch import Batch
from clozekit.data.labelled.features import Features
from clozekit.data.labelled.labelled_datamodule import LabelledDataModule
from clozekit.data.step import EvaluationBatch, StepBatch
from clozekit.models.precision import upcast
from clozekit.tasks.base import TaskModule
from clozekit.tasks.metric_names import metrics_and_modes, names_of

BatchT = TypeVar("BatchT", bound=Batch)


class FineTuningModule(TaskModule[BatchT]):
    """A head on the encoder, both trained. A task says what its loss, metrics and predictions are.

    Args:
        **training: The arguments of `TaskModule`.

    Attributes:
        datamodule_class: The DataModule whose batches it reads.
        label_names: The classes in the order of their ids, where there are any.
    """

    datamodule_class: ClassVar[type[LabelledDataModule[Any]]]
    label_names: list[str] | None = None

    def __init__(self, **training: Any) -> None:
        super().__init__(**training)
        self.evaluation = nn.ModuleDict()

    @property
    def features_class(self) -> type[Features[Any]]:
        """How its rows are read."""
        return self.datamodule_class.features_class

    @abstractmethod
    def forward(self, batch: BatchT) -> Tensor:
        """Computes the head's logits."""

    @abstractmethod
    def loss_sum(self, logits: Tensor, batch: BatchT) -> Tensor:
        """Computes the loss, summed over the batch's targets."""

    @abstractmethod
    def num_targets(self, batch: BatchT) -> int:
        """Counts what the loss of a batch is averaged over."""

    def step_sums(self, logits: Tensor, batch: BatchT) -> dict[str, Tensor]:
        """Gives what is logged of a training batch beside the loss, summed over targets."""
        return {}

    @abstractmethod
    def new_metrics(self) -> dict[str, Metric]:
        """Makes the metrics of a split; one that computes a dict gives several."""

    @abstractmethod
    def update_metrics(self, metrics: Mapping[str, Any], logits: Tensor, batch: BatchT) -> None:
        """Adds a batch to a split's metrics."""

    @abstractmethod
    def decode(self, logits: Tensor, batch: BatchT) -> list[dict[str, Any]]:
        """Gives what is predicted of every example of a batch, in plain values."""

    @abstractmethod
    def gold(self, example: Any) -> Any:
        """Gives an example's label, in the form of the predictions."""

    def micro_loss(self, batch: BatchT, step: StepBatch[BatchT]) -> Tensor:
        """Computes a micro-batch's share of the step's loss."""
        logits = upcast(self(batch))
        loss_sum = self.loss_sum(logits, batch)
        if self.is_logged(step):
            self.add_to_step(loss=loss_sum, **self.step_sums(logits.detach(), batch))
        return loss_sum * (1 / step.num_targets)

    def step_metrics(self, step: StepBatch[BatchT], sums: dict[str, float]) -> dict[str, float]:
        """Gives the loss of a step, and what else the task logs of it."""
        return {name: total / step.num_targets for name, total in sums.items()}

    def on_validation_epoch_start(self) -> None:
        """Begins the validation split's metrics."""
        self._begin("validation")

    def on_test_epoch_start(self) -> None:
        """Begins the test split's metrics."""
        self._begin("test")

    def validation_step(self, loaded: EvaluationBatch[BatchT], batch_idx: int) -> None:
        """Gathers the validation split's metrics."""
        self.evaluate_batch(self._metrics("validation"), loaded.batch)

    def test_step(self, loaded: EvaluationBatch[BatchT], batch_idx: int) -> None:
        """Gathers the test split's metrics."""
        self.evaluate_batch(self._metrics("test"), loaded.batch)

    def on_validation_epoch_end(self) -> None:
        """Logs the validation metrics, each example counted once over all processes."""
        self._report("validation")

    def on_test_epoch_end(self) -> None:
        """Logs the test metrics, each example counted once over all processes."""
        self._report("test")

    def metrics_of_a_split(self) -> nn.ModuleDict:
        """Makes a split's metrics, the loss among them."""
        return nn.ModuleDict({"loss": MeanMetric(), **self.new_metrics()})

    def validation_metrics_and_modes(self) -> dict[str, Literal["min", "max"] | None] | None:
        """Gives the validation's metrics, each with its best value's side where it has one.

        Returns:
            None where a metric does not say what it computes.
        """
        names = [names_of(name, metric) for name, metric in self.metrics_of_a_split().items()]
        if any(of_one is None for of_one in names):
            return None
        return metrics_and_modes(name for of_one in names for name in of_one or ())

    def evaluate_batch(self, metrics: nn.ModuleDict, batch: BatchT) -> Tensor:
        """Adds a batch to a split's metrics; gives its logits."""
        logits = upcast(self(batch))
        num_targets = self.num_targets(batch)
        if num_targets:
            loss = self.loss_sum(logits, batch) / num_targets
            metrics["loss"].update(loss, num_targets)  # type: ignore[operator]
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
    """Computes a split's metrics; those that give several stand under their own names."""
    computed: dict[str, Tensor] = {}
    for name, metric in metrics.items():
        value = metric.compute()  # type: ignore[operator]
        computed |= value if isinstance(value, dict) else {name: value}
    return computed
