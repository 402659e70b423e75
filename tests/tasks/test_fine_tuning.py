"""Every fine-tuning task: it learns, and its loss and gradient are the global batch's."""

import re
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from clozekit.data.batch import Batch
from clozekit.data.labelled.labelled_source import LabelledSource
from clozekit.data.order import Position
from clozekit.data.step import StepBatch
from clozekit.data.stream import BatchShape, Phase, TrainingStream
from clozekit.tasks.classification import ClassificationModule
from tests.data.labelled.labelled_rows import drawn
from tests.tasks.modules import Module, module_of, tasks


def first_step(source: LabelledSource, micro_batch_size: int) -> StepBatch[Batch]:
    shape = BatchShape(8, micro_batch_size)
    return next(iter(TrainingStream([Phase(source, shape)], 0, Position())))


@tasks
def test_a_batch_can_be_learnt_by_heart(task: str) -> None:
    module = module_of(task)
    step = first_step(LabelledSource(drawn(task, 30, longest=6), is_training=True), 8)
    (batch,) = step.micro_batches
    optimizer = torch.optim.AdamW(module.parameters(), lr=3e-3)
    losses = []
    for _ in range(120):
        optimizer.zero_grad()
        loss = module.micro_loss(batch, step)
        torch.autograd.backward(loss)
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] > 0.5
    assert losses[-1] < 0.05
    if task == "regression":
        return
    # Of regression, a step logs the loss alone.
    with torch.no_grad():
        sums = module.step_sums(module(batch), batch)
    assert sums["accuracy"].item() == step.num_targets


def gradient(module: Module, step: StepBatch[Batch]) -> tuple[Tensor, list[Tensor]]:
    module.zero_grad()
    total = torch.zeros((), dtype=torch.float64)
    for batch in step.micro_batches:
        loss = module.micro_loss(batch, step)
        torch.autograd.backward(loss)
        total += loss.detach()
    return total, [p.grad.clone() for p in module.parameters() if p.grad is not None]


@tasks
@pytest.mark.parametrize("micro_batch_size", [1, 3])
def test_the_gradient_of_a_global_batch_is_the_sum_over_its_micro_batches(
    task: str, micro_batch_size: int
) -> None:
    module = module_of(task).double()
    source = LabelledSource(drawn(task, 30), is_training=True)
    whole, parts = (first_step(source, size) for size in (8, micro_batch_size))
    assert len(whole.micro_batches) == 1
    assert len(parts.micro_batches) == -(-8 // micro_batch_size)
    loss, expected = gradient(module, whole)
    total, gradients = gradient(module, parts)
    assert total.item() == pytest.approx(loss.item(), rel=1e-12)
    largest = max(g.abs().max() for g in expected)
    assert largest > 1e-4
    for ours, theirs in zip(gradients, expected, strict=True):
        assert (ours - theirs).abs().max() < 1e-12 * largest


@tasks
def test_a_micro_batch_counts_as_many_targets_as_its_share_of_the_step(task: str) -> None:
    source = LabelledSource(drawn(task, 30), is_training=True)
    step, module = first_step(source, 3), module_of(task)
    assert sum(map(module.num_targets, step.micro_batches)) == step.num_targets


def sums_of_losses(module: Module, logits: Tensor, labels: Tensor) -> Tensor:
    batch = type("Labelled", (), {"labels": labels})
    return module.loss_sum(logits, batch)


def test_class_weights_and_label_smoothing_are_torchs() -> None:
    logits = torch.randn(9, 3, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 1, 2] * 3)
    weights = {"town": 3.0, "farm": 0.5}
    weighted = module_of("classification", class_weights=weights)
    expected = F.cross_entropy(
        logits, labels, weight=torch.tensor([0.5, 1.0, 3.0]), reduction="sum"
    )
    assert torch.allclose(sums_of_losses(weighted, logits, labels), expected)
    smoothed = module_of("classification", label_smoothing=0.2)
    expected = F.cross_entropy(logits, labels, label_smoothing=0.2, reduction="sum")
    assert torch.allclose(sums_of_losses(smoothed, logits, labels), expected)
    both = module_of("classification", label_smoothing=0.2, class_weights=weights)
    losses = F.cross_entropy(logits, labels, label_smoothing=0.2, reduction="none")
    expected = (losses * torch.tensor([0.5, 1.0, 3.0] * 3)).sum()
    assert torch.allclose(sums_of_losses(both, logits, labels), expected)
    tagger = module_of("tagging", label_smoothing=0.1)
    tags = torch.tensor([0, 4, -100, 2, -100, 1, 3, 0, 0])
    wide = torch.randn(9, 5, generator=torch.Generator().manual_seed(0))
    expected = F.cross_entropy(
        wide[tags >= 0], tags[tags >= 0], label_smoothing=0.1, reduction="sum"
    )
    assert torch.allclose(sums_of_losses(tagger, wide, tags), expected)


def test_class_weights_and_label_smoothing_of_several_labels() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(9, 3, generator=generator)
    labels = torch.randint(2, (9, 3), generator=generator).float()
    module = module_of("multi_label", class_weights={"sea": 2.0}, label_smoothing=0.2)
    # Each label is a choice of two, over which the share is spread.
    targets = torch.stack([1 - labels, labels], dim=-1)
    losses = F.cross_entropy(
        torch.stack([torch.zeros_like(logits), logits], dim=-1).flatten(0, 1),
        targets.flatten(0, 1),
        label_smoothing=0.2,
        reduction="none",
    ).view(9, 3)
    expected = (losses * torch.tensor([1.0, 2.0, 1.0])).mean(dim=-1).sum()
    assert torch.allclose(sums_of_losses(module, logits, labels), expected)


def test_class_weights_of_numbers_may_be_keyed_by_them() -> None:
    module = module_of("classification")
    weights = {1: 2.0}
    encoder = module.encoder.config
    module = ClassificationModule(encoder, label_names=["0", "1"], class_weights=weights)
    assert module.class_weights.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("key", "names"),
    [(2.1, ["2.1", "2.10"]), (1, ["01", "1"]), (True, ["true", "True"]), (2.1, ["2.10", "2.100"])],
)
def test_a_value_that_several_classes_have_is_refused(key: Any, names: list[str]) -> None:
    encoder = module_of("classification").encoder.config
    told = f"class_weights has {key}, which may be any of the classes {', '.join(names)}; write the"
    with pytest.raises(ValueError, match=re.escape(told)):
        ClassificationModule(encoder, label_names=names, class_weights={key: 2.0})
    module = ClassificationModule(encoder, label_names=names, class_weights={names[1]: 2.0})
    assert module.class_weights.tolist() == [1, 2]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"class_weights": {"sky": 1.0}}, "class_weights has 'sky', but the classes are farm"),
        ({"class_weights": {"sea": -1.0}}, "class_weights.sea=-1.0 must not be negative"),
        ({"class_weights": {"sea": float("nan")}}, "class_weights.sea=nan"),
        ({"label_smoothing": 1.0}, "label_smoothing=1.0 must be in"),
    ],
)
def test_what_cannot_be_used_is_told(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message.replace(".", r"\.")):
        module_of("classification", **changes)


@pytest.mark.parametrize(
    ("key", "names"),
    [("true", ["False", "True"]), ("1000", ["7", "1e3"]), ("1", ["0", "01"])],
)
def test_a_class_whose_name_yaml_takes_for_a_value_is_found_by_it(
    key: str, names: list[str]
) -> None:
    encoder = module_of("classification").encoder.config
    module = ClassificationModule(encoder, label_names=names, class_weights={key: 2.0})
    assert module.class_weights.tolist() == [1, 2]
    with pytest.raises(ValueError, match=f"class_weights has '{key}', but the classes are"):
        ClassificationModule(encoder, label_names=["x", "y"], class_weights={key: 2.0})
