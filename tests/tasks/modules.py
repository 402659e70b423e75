"""A small module of every fine-tuning task."""

from typing import Any

import pytest
import torch
from torch import nn

from clozekit.tasks.classification import ClassificationModule
from clozekit.tasks.embedding import EmbeddingModule
from clozekit.tasks.fine_tuning import FineTuningModule
from clozekit.tasks.multiple_choice import MultipleChoiceModule
from clozekit.tasks.question_answering import QuestionAnsweringModule
from clozekit.tasks.question_answering_bio import QuestionAnsweringBIOModule
from clozekit.tasks.regression import RegressionModule
from clozekit.tasks.tagging import TaggingModule
from tests.data.labelled.labelled_rows import TASKS
from tests.data.spelling import spelling_tokenizer
from tests.tasks.models import small_encoder, training_arguments

LABELS = ["farm", "sea", "town"]
TAGS = ["O", "B-ANIMAL", "I-ANIMAL", "B-PLACE", "I-PLACE"]

Module = FineTuningModule[Any]
MODULES: dict[str, tuple[type[Module], dict[str, Any]]] = {
    "classification": (ClassificationModule, {"label_names": LABELS, "classifier_dropout": 0.0}),
    "multi_label": (
        ClassificationModule,
        {"label_names": LABELS, "multi_label": True, "classifier_dropout": 0.0},
    ),
    "regression": (RegressionModule, {"classifier_dropout": 0.0}),
    "tagging": (TaggingModule, {"label_names": TAGS, "classifier_dropout": 0.0}),
    "question_answering": (QuestionAnsweringModule, {"has_unanswerable": True}),
    "question_answering_bio": (
        QuestionAnsweringBIOModule,
        {"has_unanswerable": True, "classifier_dropout": 0.0},
    ),
    "multiple_choice": (MultipleChoiceModule, {"classifier_dropout": 0.0}),
    "embedding": (EmbeddingModule, {}),
}

tasks = pytest.mark.parametrize("task", TASKS)


def module_of(task: str, **changes: Any) -> Any:
    torch.manual_seed(0)
    kind, arguments = MODULES[task]
    encoder = small_encoder(spelling_tokenizer().get_vocab_size())
    return kind(encoder, **training_arguments(**(arguments | changes)))


def guessing(task: str, **changes: Any) -> Any:
    """A module whose weights are so large that its guesses differ from row to row."""
    module = module_of(task, **changes)
    torch.manual_seed(3)
    for parameter in module.parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter, std=0.3)
    return module.eval()
