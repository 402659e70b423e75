"""The validation metrics of a task: of all samples, and of each source of a mixture."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torchmetrics import MetricCollection, SumMetric

from clozekit.data.step import EvaluationBatch

PREFIX = "validation/"


class SourceMetrics(nn.Module):
    """The same metrics for each source of a mixture.

    Args:
        metrics: The metrics of all samples.
        names: The names of the sources.
    """

    def __init__(self, metrics: MetricCollection, names: Sequence[str]) -> None:
        super().__init__()
        self.names = tuple(names)
        self._metrics = nn.ModuleList(metrics.clone() for _ in names)
        self._num_batches = nn.ModuleList(SumMetric() for _ in names)

    def of(self, source: int) -> MetricCollection:
        """Returns the metrics of a source, to be updated with a batch of it."""
        counter, metrics = self._num_batches[source], self._metrics[source]
        assert isinstance(counter, SumMetric) and isinstance(metrics, MetricCollection)
        counter.update(1)
        return metrics

    def compute(self) -> dict[str, dict[str, Tensor]]:
        """Computes and resets the metrics of each source. All processes must call it.

        Returns:
            The metrics of each source by name. A source without a batch is left out: a validation
            may be limited to fewer batches than sources.
        """
        computed: dict[str, dict[str, Tensor]] = {}
        for name, metrics, counter in zip(
            self.names, self._metrics, self._num_batches, strict=True
        ):
            assert isinstance(counter, SumMetric) and isinstance(metrics, MetricCollection)
            # The number over all processes, so all compute the same metrics.
            if counter.compute() > 0:
                computed[name] = metrics.compute()
            metrics.reset()
            counter.reset()
        return computed


class ValidatesSources(nn.Module):
    """A task whose validation is also that of each source of a mixture.

    Args:
        **training: The arguments of the next class, `TaskModule`.

    Attributes:
        validation_metrics: The metrics of all samples.
        source_metrics: The metrics of each source; None without a mixture.
    """

    validation_metrics: MetricCollection
    source_metrics: SourceMetrics | None

    def __init__(self, **training: Any) -> None:
        super().__init__(**training)
        self.source_metrics = None

    @property
    def validation_sources(self) -> tuple[str, ...]:
        """The names of the sources of a mixture, if any."""
        return () if self.source_metrics is None else self.source_metrics.names

    def validate_sources(self, names: Sequence[str]) -> None:
        """Adds the metrics of each source, by its name."""
        self.source_metrics = SourceMetrics(self.validation_metrics, names)

    def metrics_of(self, loaded: EvaluationBatch[Any]) -> list[MetricCollection]:
        """Returns the metrics to update with a batch: those of all samples and of its source."""
        if self.source_metrics is None or loaded.source is None:
            return [self.validation_metrics]
        return [self.validation_metrics, self.source_metrics.of(loaded.source)]

    def computed_metrics(self) -> dict[str, dict[str, Any]]:
        """Computes and resets the metrics of all samples and of each source.

        Returns:
            The metrics by name, for the prefix of their names: `validation/`, and
            `validation/SOURCE/` for each source.
        """
        computed = {PREFIX: _unprefixed(self.validation_metrics.compute())}
        self.validation_metrics.reset()
        if self.source_metrics is not None:
            for name, values in self.source_metrics.compute().items():
                computed[f"{PREFIX}{name}/"] = _unprefixed(values)
        return computed


def _unprefixed(metrics: dict[str, Any]) -> dict[str, Any]:
    return {name.removeprefix(PREFIX): value for name, value in metrics.items()}
