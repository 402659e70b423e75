"""The heads of a model by name, and the class of transformers that has them."""

from collections.abc import Callable, Iterable

import torch
from torch import nn

from clozekit.config.encoder import EncoderConfig
from clozekit.data.batch import ANSWER_TAGS
from clozekit.models import (
    AnswerSpanHead,
    EncoderProtocol,
    EncoderWithHeads,
    MaskedLMHead,
    NextSentenceHead,
    SequenceClassificationHead,
    TokenClassificationHead,
    make_encoder,
)

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

HEADS_OF_SEQUENCES = frozenset(
    {"next_sentence_head", "classification_head", "multiple_choice_head"}
)
"""The heads that read the pooled output; the others read the vectors of tokens."""

WITHOUT_POOLER = frozenset(
    architecture
    for architecture, heads in HEADS_OF_ARCHITECTURE.items()
    if heads and not heads & HEADS_OF_SEQUENCES
)
"""The classes of transformers whose encoder has no pooler."""

# Dropout of a head is for training, where the task makes it.
_MAKE_HEAD: dict[str, Callable[[EncoderProtocol, int], nn.Module]] = {
    "masked_lm_head": lambda encoder, _: MaskedLMHead(
        encoder.config, encoder.embeddings.token_embeddings
    ),
    "next_sentence_head": lambda encoder, _: NextSentenceHead(encoder.config),
    "classification_head": lambda encoder, num_labels: SequenceClassificationHead(
        encoder.config, num_labels, dropout=0.0
    ),
    "token_classification_head": lambda encoder, num_labels: TokenClassificationHead(
        encoder.config, num_labels, dropout=0.0
    ),
    "question_answering_head": lambda encoder, _: AnswerSpanHead(encoder.config),
    "answer_tagging_head": lambda encoder, _: TokenClassificationHead(
        encoder.config, len(ANSWER_TAGS), dropout=0.0
    ),
    "multiple_choice_head": lambda encoder, _: SequenceClassificationHead(
        encoder.config, 1, dropout=0.0
    ),
}

HEADS = frozenset(_MAKE_HEAD)
"""The heads of clozekit's own tasks."""


def make_model(
    heads: Iterable[str],
    config: EncoderConfig,
    num_labels: int = 0,
    add_pooling_layer: bool | None = None,
) -> EncoderWithHeads:
    """Makes the encoder and some heads, without dropout in the heads.

    Args:
        heads: Names out of `HEADS`.
        config: The encoder's configuration.
        num_labels: The number of labels, for heads that have them.
        add_pooling_layer: Whether the encoder has a pooler; None if the heads decide.

    Returns:
        The model, its weights drawn.
    """
    names = [name for name in _MAKE_HEAD if name in set(heads)]
    if add_pooling_layer is None:
        add_pooling_layer = not HEADS_OF_SEQUENCES.isdisjoint(names)
    encoder = make_encoder(config, add_pooling_layer)
    made = {name: _MAKE_HEAD[name](encoder, num_labels) for name in names}
    return EncoderWithHeads(encoder, **made)


def shapes(
    heads: Iterable[str], config: EncoderConfig, num_labels: int
) -> dict[str, tuple[int, ...]]:
    """Gives the shape of every tensor of the model that `make_model` would make."""
    with torch.device("meta"):
        model = make_model(heads, config, num_labels)
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
