"""Validation of each source of a mixture."""

import pytest
import torch

from clozekit.data.step import EvaluationBatch
from clozekit.tasks.masked_lm import MaskedLMModule
from clozekit.tasks.pretraining import PretrainingModule
from tests.models.batches import tiny_config


def batch_of(source: int | None) -> EvaluationBatch:  # type: ignore[type-arg]
    return EvaluationBatch(None, source)  # type: ignore[type-var]


def test_each_batch_counts_for_its_source_and_for_all() -> None:
    module = MaskedLMModule(tiny_config())
    module.validate_sources(["news", "mails", "books"])
    for source, loss in ((0, 1.0), (0, 3.0), (1, 5.0)):
        for metrics in module.metrics_of(batch_of(source)):
            metrics["mlm_loss"].update(torch.tensor(loss), 10)
            metrics["mlm_accuracy"].update(torch.tensor(0.5), 10)
    computed = module.computed_metrics()
    losses = {prefix: float(metrics["mlm_loss"]) for prefix, metrics in computed.items()}
    # A limited validation had no batch of books.
    assert losses == {"validation/": 3.0, "validation/news/": 2.0, "validation/mails/": 5.0}
    assert float(module.source_metrics._num_batches[0].compute()) == 0  # type: ignore


@pytest.mark.parametrize("kind", [MaskedLMModule, PretrainingModule])
def test_the_metrics_of_sources_can_be_monitored(
    kind: type[MaskedLMModule | PretrainingModule],
) -> None:
    module = kind(tiny_config())
    alone = module.validation_metrics_and_modes()
    assert alone is not None and module.validation_sources == ()
    weights = module.state_dict().keys()
    module.validate_sources(["news", "mails"])
    told = module.validation_metrics_and_modes()
    assert told is not None and told["validation/news/loss"] == "min"
    assert len(told) == 3 * len(alone)
    assert module.state_dict().keys() == weights
