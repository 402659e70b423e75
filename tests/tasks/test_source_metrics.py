"""Validation of each source of a mixture."""

import pytest
import torch

from clozekit.data.step import EvaluationBatch
from clozekit.tasks.masked_lm import MaskedLMModule
from clozekit.tasks.pretraining import PretrainingModule
from tests.models.batches import tiny_config


def batch_of(source: int | None) -> EvaluationBatch:  # type: ignore[type-arg]
    return EvaluationBatch(None, source)  # type: ignore[type-var]


def validated(module: MaskedLMModule, batches: list[tuple[int | None, float]]) -> dict[str, float]:
    """The losses of a validation whose batches have ten targets each, by their prefixes."""
    module.on_validation_epoch_start()
    for source, loss in batches:
        totals = {"mlm_loss": (torch.tensor(10 * loss), 10)}
        module.update_metrics(batch_of(source), {**totals, "mlm_accuracy": (torch.tensor(5), 10)})
    metrics = module._metrics
    assert metrics is not None
    return {prefix: float(means["mlm_loss"]) for prefix, means in metrics.compute().items()}


def test_each_batch_counts_for_its_source_and_for_all() -> None:
    module = MaskedLMModule(tiny_config())
    module.validate_sources(["news", "mails", "books"])
    losses = validated(module, [(0, 1.0), (0, 3.0), (1, 5.0)])
    # A limited validation had no batch of books.
    assert losses == {"validation/": 3.0, "validation/news/": 2.0, "validation/mails/": 5.0}
    assert validated(module, [(2, 4.0)]) == {"validation/": 4.0, "validation/books/": 4.0}


def test_the_precision_of_the_weights_is_not_that_of_the_metrics() -> None:
    module = MaskedLMModule(tiny_config()).to(torch.bfloat16)
    (loss,) = validated(module, [(None, 7.3)] * 300).values()
    assert loss == pytest.approx(7.3, rel=1e-6)


def test_a_diverged_model_is_not_validated_as_a_good_one() -> None:
    (loss,) = validated(MaskedLMModule(tiny_config()), [(None, torch.nan), (None, 2.0)]).values()
    assert loss != loss


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
