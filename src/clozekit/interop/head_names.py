"""Names of heads, and models that have them."""

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

HEADS_WITH_LABELS = frozenset({"classification_head", "token_classification_head"})
"""The heads whose outputs have names (`id2label` of transformers)."""

HEADS_OF_SEQUENCES = frozenset(
    {"next_sentence_head", "classification_head", "multiple_choice_head"}
)
"""The heads on the pooled output; the others are on the token vectors."""

# No dropout: for training, each task makes its head itself.
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
    """Makes an encoder with heads, without dropout in the heads.

    Args:
        heads: Names from `HEADS`.
        config: The encoder's configuration.
        num_labels: Number of labels, for heads that have labels.
        add_pooling_layer: Whether the encoder has a pooler; None: only if a head needs it.

    Returns:
        The model with random weights.
    """
    names = [name for name in _MAKE_HEAD if name in set(heads)]
    if add_pooling_layer is None:
        add_pooling_layer = not HEADS_OF_SEQUENCES.isdisjoint(names)
    encoder = make_encoder(config, add_pooling_layer)
    made = {name: _MAKE_HEAD[name](encoder, num_labels) for name in names}
    return EncoderWithHeads(encoder, **made)


def shapes(
    heads: Iterable[str],
    config: EncoderConfig,
    num_labels: int,
    add_pooling_layer: bool | None = None,
) -> dict[str, tuple[int, ...]]:
    """Returns the shape of every tensor of the model that `make_model` would return."""
    with torch.device("meta"):
        model = make_model(heads, config, num_labels, add_pooling_layer)
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
