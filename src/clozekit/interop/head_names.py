"""The heads of a model, the class of transformers that has them, and the model of ours."""

import torch
from torch import nn

from clozekit.config.encoder import EncoderConfig
from clozekit.models.classification import ClassificationModel
from clozekit.models.masked_lm import MaskedLMModel
from clozekit.models.multiple_choice import MultipleChoiceModel
from clozekit.models.pretraining import PretrainingModel
from clozekit.models.question_answering import QuestionAnsweringBIOModel, QuestionAnsweringModel
from clozekit.models.token_classification import TokenClassificationModel

TASK_HEADS = {
    "BertForSequenceClassification": "classification_head",
    "BertForTokenClassification": "token_classification_head",
    "BertForQuestionAnswering": "question_answering_head",
    "BertForMultipleChoice": "multiple_choice_head",
}
"""The head of a class of transformers for a task that is fine-tuned."""

HEADS_OF_ARCHITECTURE: dict[str, set[str]] = {
    "BertForPreTraining": {"masked_lm_head", "next_sentence_head"},
    "BertForMaskedLM": {"masked_lm_head"},
    "BertForNextSentencePrediction": {"next_sentence_head"},
    **{architecture: {head} for architecture, head in TASK_HEADS.items()},
    "BertModel": set(),
}
"""The heads of every class of transformers that has only heads of ours."""

HEADS_WITH_LABELS = frozenset({"classification_head", "token_classification_head"})
"""The heads whose outputs have names, `id2label` of transformers."""

WITHOUT_POOLER = frozenset(
    {"BertForMaskedLM", "BertForTokenClassification", "BertForQuestionAnswering"}
)
"""The classes of transformers whose encoder has no pooler."""


def make_model(heads: set[str], encoder: EncoderConfig, num_labels: int) -> nn.Module | None:
    """Makes the model of `clozekit.models` that has some heads.

    Args:
        heads: The heads.
        encoder: The encoder's configuration.
        num_labels: The number of labels, for heads that have them.

    Returns:
        The model, its weights drawn; None where there is no model of just these heads.
    """
    match sorted(heads):
        case ["masked_lm_head", "next_sentence_head"]:
            return PretrainingModel(encoder)
        case ["masked_lm_head"]:
            return MaskedLMModel(encoder)
        case ["classification_head"]:
            return ClassificationModel(encoder, num_labels)
        case ["token_classification_head"]:
            return TokenClassificationModel(encoder, num_labels)
        case ["question_answering_head"]:
            return QuestionAnsweringModel(encoder)
        case ["answer_tagging_head"]:
            return QuestionAnsweringBIOModel(encoder)
        case ["multiple_choice_head"]:
            return MultipleChoiceModel(encoder)
    return None


def shapes(heads: set[str], encoder: EncoderConfig, num_labels: int) -> dict[str, tuple[int, ...]]:
    """Gives the shape of every tensor of the model that `make_model` would make."""
    with torch.device("meta"):
        model = make_model(heads, encoder, num_labels)
    assert model is not None
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
