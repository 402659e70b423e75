"""Embedding: the loss is over the whole global batch, and exact however it is computed."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from clozekit.data.batch import EmbeddingBatch
from clozekit.data.labelled.labelled_source import LabelledSource
from clozekit.data.order import Position
from clozekit.data.step import StepBatch
from clozekit.data.stream import BatchShape, EvaluationStream, Phase, TrainingStream
from clozekit.tasks import contrastive
from clozekit.tasks.contrastive import gradients_of_vectors
from clozekit.tasks.fine_tuning import computed_metrics
from tests.data.labelled.labelled_rows import drawn, encoded, make_features
from tests.tasks.modules import module_of
from tests.tasks.training import DrawnRows, trainer_of

TEMPERATURE = 0.05
DROPOUT = {"hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1}


def first_step(rows: Any, micro_batch_size: int, size: int = 8) -> StepBatch[EmbeddingBatch]:
    shape = BatchShape(size, micro_batch_size)
    source = LabelledSource(rows, is_training=True)
    step: Any = next(iter(TrainingStream([Phase(source, shape)], 0, Position())))
    return step


def with_dropout(module: Any) -> Any:
    """The module with dropout in the encoder."""
    config = module.encoder.config.model_copy(update=DROPOUT)
    made = type(module)(config, optimizer=module.make_optimizer)
    made.load_state_dict(module.state_dict())
    return made.train()


def expected_loss(vectors: Tensor, step: StepBatch[EmbeddingBatch]) -> Tensor:
    """The mean InfoNCE loss, row by row, without candidates that are no negatives."""
    texts = [
        tuple(batch.input_ids[a:b].tolist())
        for batch in step.micro_batches
        for a, b in torch.stack(
            [batch.packing.cu_seqlens[:-1], batch.packing.cu_seqlens[1:]], dim=1
        ).tolist()
    ]
    views = step.micro_batches[0].views
    losses = []
    for anchor in range(0, len(texts), views):
        own = anchor + 1
        others = [
            i
            for i in range(len(texts))
            if i % views and texts[i] not in (texts[anchor], texts[own])
        ]
        logits = vectors[[own, *others]] @ vectors[anchor] / TEMPERATURE
        losses.append(F.cross_entropy(logits, torch.tensor(0)))
    return torch.stack(losses).mean()


def gradients(module: Any, step: StepBatch[EmbeddingBatch]) -> tuple[float, list[Tensor]]:
    module.zero_grad()
    total = 0.0
    for batch in step.micro_batches:
        loss = module.micro_loss(batch, step)
        torch.autograd.backward(loss)
        total += loss.item()
    return total, [parameter.grad.clone() for parameter in module.parameters()]


@pytest.mark.parametrize("negative", [None, "negative"])
@pytest.mark.parametrize("micro_batch_size", [8, 3, 1])
def test_the_loss_and_its_gradient_are_those_of_the_definition(
    negative: str | None, micro_batch_size: int
) -> None:
    words = ["horse", "cow", "sheep", "boat", "sailor", "cook", "soup", "the", "old", "small"]
    rows = [
        {"anchor": " ".join(words[i : i + 3]), "positive": words[i % 4], "negative": words[-i]}
        for i in range(8)
    ]
    made = encoded(make_features("embedding", negative_column=negative), rows)
    module = module_of("embedding").double()
    step = first_step(made, micro_batch_size)
    vectors = torch.cat([module(batch) for batch in step.micro_batches])
    assert torch.allclose(vectors.norm(dim=-1), torch.ones(len(vectors), dtype=torch.float64))
    expected = expected_loss(vectors, step)
    wanted = torch.autograd.grad(expected, list(module.parameters()))
    loss, found = gradients(module, step)
    assert loss == pytest.approx(expected.item(), rel=1e-12)
    largest = max(float(gradient.abs().max()) for gradient in wanted)
    assert largest > 1e-3
    for ours, theirs in zip(found, wanted, strict=True):
        assert float((ours - theirs).abs().max()) < 1e-12 * largest


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_pooling_is_the_mean_or_the_first_token(pooling: str) -> None:
    module = module_of("embedding", pooling=pooling).eval()
    (batch,) = first_step(drawn("embedding", 10), 8).micro_batches
    hidden = batch.packing.pad(module.encode(batch).sequence_output)
    mask = batch.packing.attention_mask
    for vector, of_text, is_token in zip(module(batch), hidden, mask, strict=True):
        expected = of_text[0] if pooling == "cls" else of_text[is_token.bool()].mean(dim=0)
        assert torch.allclose(vector, F.normalize(expected, dim=0), atol=1e-6)


def test_each_micro_batch_is_computed_again_with_the_same_dropout() -> None:
    module = with_dropout(module_of("embedding")).double()
    step = first_step(drawn("embedding", 30), 3)
    computed: list[Tensor] = []
    module.register_forward_hook(lambda *arguments: computed.append(arguments[-1].detach()))
    _, found = gradients(module, step)
    assert len(computed) == 2 * len(step.micro_batches) == 6
    for first, again in zip(computed[:3], computed[3:], strict=True):
        assert torch.equal(first, again)
    assert not torch.equal(computed[0][:3], module(step.micro_batches[0])[:3]), "there is dropout"

    # The same by backward through the vectors of all micro-batches together.
    module.zero_grad()
    vectors = []
    for number, batch in enumerate(step.micro_batches):
        module._seed_dropout(step.index, number)
        vectors.append(module(batch))
    expected_loss(torch.cat(vectors), step).backward()
    for ours, parameter in zip(found, module.parameters(), strict=True):
        assert torch.allclose(ours, parameter.grad, rtol=0, atol=1e-12)


def test_a_single_text_is_two_vectors_by_two_dropouts() -> None:
    made = encoded(
        make_features("embedding", unsupervised=True),
        [{"anchor": word} for word in ("horse", "cow", "sheep", "boat", "sailor", "cook")],
    )
    step = first_step(made, 6, size=6)
    (batch,) = step.micro_batches
    anchors, positives = with_dropout(module_of("embedding"))(batch).view(6, 2, -1).unbind(1)
    assert ((anchors - positives).norm(dim=-1) > 1e-3).all()
    anchors, positives = module_of("embedding")(batch).view(6, 2, -1).unbind(1)
    assert torch.allclose(anchors, positives, atol=1e-6)


def test_rows_that_fill_up_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    vectors = F.normalize(torch.randn(7, 3, 5, generator=generator).double(), dim=-1)
    ids = torch.arange(1, 22).view(7, 3)
    whole = gradients_of_vectors(vectors, ids, torch.ones(7, dtype=torch.bool), 0.1, 7)
    places = torch.tensor([0, 1, 2, 4, 5, 6, 8])
    filled, filled_ids = torch.zeros(10, 3, 5).double(), torch.zeros(10, 3, dtype=torch.int64)
    filled[places], filled_ids[places] = vectors, ids
    is_row = torch.zeros(10, dtype=torch.bool)
    is_row[places] = True
    # Also in several parts.
    monkeypatch.setattr(contrastive, "ANCHORS_AT_ONCE", 3)
    losses, is_right, gradient = gradients_of_vectors(filled, filled_ids, is_row, 0.1, 7)
    assert torch.allclose(losses[places], whole[0], atol=1e-14) and losses.sum() > 1
    assert torch.equal(is_right[places], whole[1])
    assert torch.allclose(gradient[places], whole[2], atol=1e-14) and gradient.abs().max() > 0.01
    for each in (losses, is_right.double(), gradient):
        assert not each[~is_row].any()


def test_steps_of_lightning_are_the_same_in_any_number_of_micro_batches(tmp_path: Path) -> None:
    logged, weights = [], []
    for size in (6, 4, 1):
        module = module_of("embedding", log_every_n_steps=1)
        trainer = trainer_of(tmp_path, 3, precision="64-true", validate_every=3)
        trainer.fit(module, datamodule=DrawnRows("embedding", micro_batch_size=size))
        logged.append({name: float(value) for name, value in trainer.callback_metrics.items()})
        weights.append(module.state_dict())
    assert {"train/loss", "train/accuracy", "validation/mrr"} < logged[0].keys()
    for ours, theirs in zip(logged[1:], weights[1:], strict=True):
        assert ours == pytest.approx(logged[0], rel=1e-6)
        for name, weight in weights[0].items():
            assert torch.allclose(theirs[name], weight, rtol=0, atol=1e-9), name


def test_half_precision_computes_the_loss_in_single(tmp_path: Path) -> None:
    module = module_of("embedding", log_every_n_steps=1)
    trainer = trainer_of(tmp_path, 2, precision="bf16-mixed")
    trainer.fit(module, datamodule=DrawnRows("embedding", micro_batch_size=2))
    exact = module_of("embedding", log_every_n_steps=1)
    other = trainer_of(tmp_path, 2)
    other.fit(exact, datamodule=DrawnRows("embedding", micro_batch_size=2))
    losses = [float(each.callback_metrics["train/loss"]) for each in (trainer, other)]
    assert losses[0] == pytest.approx(losses[1], rel=0.1)
    assert module(first_step(drawn("embedding", 10), 8).micro_batches[0]).dtype == torch.float32


def test_a_test_split_has_the_metrics_that_its_rows_allow() -> None:
    rows = [{"anchor": "old horse", "positive": "horse", "score": 2.0}] * 3
    source = LabelledSource(
        encoded(make_features("embedding", score_column="score"), rows), is_training=False
    )
    module = module_of("embedding", has_pairs=True)
    found = {}
    for split in ("validation", "test"):
        getattr(module, f"on_{split}_epoch_start")()
        for number, loaded in enumerate(EvaluationStream(source, 7, 0, 1)):
            getattr(module, f"{split}_step")(loaded, number)
        found[split] = computed_metrics(module.evaluation[split]).keys()
    assert found["test"] == {"spearman"}
    # What is monitored always has a value.
    assert found["validation"] > {"mrr", "spearman"}
