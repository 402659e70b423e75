"""No task has buffers: DDP may broadcast them in a forward that not every process computes."""

from typing import Any

import pytest

from clozekit.tasks.base import TaskModule
from clozekit.tasks.fine_tuning import FineTuningModule
from clozekit.tasks.masked_lm import MaskedLMModule
from clozekit.tasks.pretraining import PretrainingModule
from tests.data.spelling import spelling_tokenizer
from tests.tasks.models import small_encoder, training_arguments
from tests.tasks.modules import MODULES, module_of


def every_module() -> list[TaskModule[Any]]:
    encoder = small_encoder(spelling_tokenizer().get_vocab_size())
    pretraining = PretrainingModule(encoder, **training_arguments())
    masked_lm = MaskedLMModule(encoder, **training_arguments())
    weighted = module_of("classification", class_weights={"sea": 2.0})
    return [pretraining, masked_lm, *map(module_of, MODULES), weighted]


@pytest.mark.parametrize("module", every_module(), ids=lambda module: type(module).__name__)
def test_a_task_has_no_buffers(module: TaskModule[Any]) -> None:
    if isinstance(module, FineTuningModule):
        module.on_validation_epoch_start()
        assert len(list(module.evaluation.modules())) > 1, "the metrics are part of the module"
    assert [name for name, _ in module.named_buffers()] == []
