"""The validation metrics of a pretraining task: of all samples, and of each source of a mixture."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from clozekit.data.step import EvaluationBatch
from clozekit.metrics.ratio import Ratio

PREFIX = "validation/"


class SourceMetrics:
    """Means over all samples of a validation, and over those of each source of a mixture.

    They are made for each validation: Lightning converts the metrics of a module to its precision.

    Args:
        names: The names of the metrics.
        sources: The names of the sources; empty without a mixture.
        device: The device of the task.
    """

    def __init__(
        self, names: Sequence[str], sources: Sequence[str], device: torch.device | str
    ) -> None:
        prefixes = [PREFIX, *(f"{PREFIX}{source}/" for source in sources)]
        self._means = {prefix: {name: Ratio(device) for name in names} for prefix in prefixes}
        self._num_batches = {prefix: Ratio(device) for prefix in prefixes}
        self._of_sources = prefixes[1:]

    def update(self, source: int | None, totals: Mapping[str, tuple[Tensor, int]]) -> None:
        """Adds a batch.

        Args:
            source: The index of the source that all its samples are from; None without a mixture.
            totals: For each metric, the sum over its targets and their number.
        """
        prefixes = [PREFIX]
        if source is not None and self._of_sources:
            prefixes.append(self._of_sources[source])
        for prefix in prefixes:
            self._num_batches[prefix].update(torch.ones(()), 1)
            for name, (total, count) in totals.items():
                self._means[prefix][name].update(total, count)

    def compute(self) -> dict[str, dict[str, Any]]:
        """Computes the metrics. All processes must call it.

        Returns:
            The metrics by name, for the prefix of their names: `validation/`, and
            `validation/SOURCE/` for each source. A source without a batch is left out: a validation
            may be limited to fewer batches than sources.
        """
        computed: dict[str, dict[str, Any]] = {}
        for prefix, means in self._means.items():
            # Over all processes, so all compute the same metrics.
            has_batches = not self._num_batches[prefix].compute().isnan()
            if has_batches or prefix == PREFIX:
                computed[prefix] = {name: mean.compute() for name, mean in means.items()}
        return computed


class ValidatesSources(nn.Module):
    """A task whose validation is also that of each source of a mixture.

    Args:
        **training: The arguments of the next class, `TaskModule`.

    Attributes:
        validation_sources: The names of the sources of a mixture, if any.
    """

    def __init__(self, **training: Any) -> None:
        super().__init__(**training)
        self.validation_sources: tuple[str, ...] = ()
        self._metrics: SourceMetrics | None = None

    @property
    @abstractmethod
    def mean_names(self) -> tuple[str, ...]:
        """The names of the means that a validation computes."""

    @abstractmethod
    def with_total(self, means: dict[str, Any]) -> dict[str, Any]:
        """Returns the means, and what follows from them: the total loss, the perplexity."""

    def validate_sources(self, names: Sequence[str]) -> None:
        """Adds the metrics of each source, by its name."""
        self.validation_sources = tuple(names)

    def on_validation_epoch_start(self) -> None:
        """Makes the metrics."""
        device: Any = self.device
        self._metrics = SourceMetrics(self.mean_names, self.validation_sources, device)

    def update_metrics(
        self, loaded: EvaluationBatch[Any], totals: Mapping[str, tuple[Tensor, int]]
    ) -> None:
        """Adds a batch: for each metric, the sum over its targets and their number."""
        assert self._metrics is not None
        self._metrics.update(loaded.source, totals)

    def on_validation_epoch_end(self) -> None:
        """Logs the validation metrics, each target counted once over all processes."""
        assert self._metrics is not None
        logged = {
            f"{prefix}{name}": value
            for prefix, means in self._metrics.compute().items()
            for name, value in self.with_total(means).items()
        }
        self._metrics = None
        log_evaluation: Any = self.log_evaluation
        log_evaluation(logged)
