"""Heads of single tasks give what transformers' give with the same weights, packed or padded."""

from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from transformers import (
    BertForMultipleChoice,
    BertForQuestionAnswering,
    BertForTokenClassification,
)

from clozekit.data.packing import Packing
from clozekit.interop.head_names import make_model
from tests.interop.folders import padded, random_model
from tests.models.batches import FULL, RAGGED, PackedBatch, packed_batch, without_dropout
from tests.models.bert_weights import from_transformers
from tests.models.models import logits_of

SIZES = {"vocab_size": 60, "hidden_size": 32, "num_hidden_layers": 2}


def assert_same(ours: Any, theirs: Any) -> None:
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)


def renamed(bert: Mapping[str, Tensor], head: tuple[str, str], model: nn.Module) -> Any:
    """Gives transformers' tensors our names: those of the encoder, and `head` from theirs."""
    # That function reads the heads of pretraining and a pooler too, which are not all there.
    filled = defaultdict(lambda: torch.empty(0), bert)
    tensors = from_transformers(filled, SIZES["num_hidden_layers"])
    tensors |= {f"{head[0]}.{kind}": bert[f"{head[1]}.{kind}"] for kind in ("weight", "bias")}
    return {name: tensor for name, tensor in tensors.items() if name in model.state_dict()}


def compare(
    bert: Any,
    model: nn.Module,
    head: tuple[str, str],
    outputs: tuple[Callable[[], Tensor], Callable[[], Tensor]],
    loss: Callable[[Tensor], Tensor],
) -> None:
    """Compares outputs, a loss and all gradients of a model and of transformers'.

    Args:
        bert: The model of transformers.
        model: Ours; it gets the weights of `bert`.
        head: The name of its head's layer, and the name in `bert`.
        outputs: Compute the outputs of `bert` and of `model`, both in our form.
        loss: Computes the loss from outputs.
    """
    model.load_state_dict(renamed(bert.state_dict(), head, model))
    model.eval()
    theirs, ours = outputs[0](), outputs[1]()
    assert_same(ours, theirs)
    loss(theirs).backward()
    loss(ours).backward()
    expected = renamed({n: p.grad for n, p in bert.named_parameters()}, head, model)
    gradients = {name: p.grad for name, p in model.named_parameters()}
    assert all(gradient.any() for gradient in expected.values())
    assert_same(gradients, expected)


def inputs_of(batch: PackedBatch) -> tuple[Tensor, Tensor, Packing]:
    return batch.input_ids, batch.token_type_ids, batch.packing


every_kind = pytest.mark.parametrize(
    ("hidden_act", "lengths"),
    [("gelu", RAGGED), ("gelu_pytorch_tanh", RAGGED), ("gelu", FULL)],
)


@every_kind
def test_token_classification(hidden_act: str, lengths: tuple[int, ...]) -> None:
    bert = random_model(BertForTokenClassification, hidden_act=hidden_act, num_labels=5)
    config = without_dropout(hidden_act=hidden_act, **SIZES)
    model = make_model(["token_classification_head"], config, num_labels=5)
    batch = packed_batch(lengths)
    places = batch.masked_lm_positions
    compare(
        bert,
        model,
        ("token_classification_head.classifier", "classifier"),
        (
            lambda: batch.packing.unpad(bert(**padded(batch)).logits)[places],
            lambda: logits_of(model, *inputs_of(batch))[places],
        ),
        lambda logits: F.cross_entropy(logits, batch.masked_lm_labels % 5),
    )


@every_kind
def test_question_answering(hidden_act: str, lengths: tuple[int, ...]) -> None:
    bert = random_model(BertForQuestionAnswering, hidden_act=hidden_act)
    config = without_dropout(hidden_act=hidden_act, **SIZES)
    model = make_model(["question_answering_head"], config)
    batch = packed_batch(lengths)

    def of_bert() -> Tensor:
        output = bert(**padded(batch))
        both = torch.stack([output.start_logits, output.end_logits], dim=-1)
        return batch.packing.unpad(both)

    def loss(logits: Tensor) -> Tensor:
        """Takes the first token for the beginning and the last for the end."""
        sequences = logits.split(lengths)
        losses = [
            F.cross_entropy(sequence.T, torch.tensor([0, len(sequence) - 1]))
            for sequence in sequences
        ]
        return torch.stack(losses).mean()

    compare(
        bert,
        model,
        ("question_answering_head.outputs", "qa_outputs"),
        (of_bert, lambda: logits_of(model, *inputs_of(batch))),
        loss,
    )


@every_kind
def test_multiple_choice(hidden_act: str, lengths: tuple[int, ...]) -> None:
    bert = random_model(BertForMultipleChoice, hidden_act=hidden_act)
    config = without_dropout(hidden_act=hidden_act, **SIZES)
    model = make_model(["multiple_choice_head"], config)
    batch = packed_batch(lengths)
    num_choices = 2 if lengths == RAGGED else 3
    rows = {name: tensor.unflatten(0, (-1, num_choices)) for name, tensor in padded(batch).items()}

    def loss(logits: Tensor) -> Tensor:
        labels = torch.tensor([1, 0])[: len(lengths) // num_choices]
        return F.cross_entropy(logits.unflatten(0, (-1, num_choices)), labels)

    compare(
        bert,
        model,
        ("multiple_choice_head.classifier", "classifier"),
        (
            lambda: bert(**rows).logits.flatten(),
            lambda: logits_of(model, *inputs_of(batch)).squeeze(-1),
        ),
        loss,
    )
