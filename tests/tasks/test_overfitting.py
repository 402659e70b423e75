"""A model that is right can learn one batch by heart."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from clozekit.data.batch import ClassificationBatch, PretrainingBatch
from clozekit.data.labelled.classification import ClassificationDataModule
from clozekit.data.pretraining.pair_datamodule import PretrainingDataModule
from clozekit.tasks.classification import ClassificationModule
from clozekit.tasks.pretraining import PretrainingModule
from tests.programs.texts import write_labelled
from tests.tasks.models import small_encoder, training_arguments


def fit(module: nn.Module, losses: Callable[[], tuple[Tensor, ...]], steps: int) -> list[float]:
    """Trains on the sum of losses; gives what they are in the end."""
    optimizer = torch.optim.AdamW(module.parameters(), lr=3e-3)
    for _ in range(steps):
        optimizer.zero_grad()
        total = torch.stack(losses()).sum()
        torch.autograd.backward(total)
        optimizer.step()
    return [loss.item() for loss in losses()]


@pytest.mark.slow
def test_both_objectives_of_pretraining_come_near_zero_on_one_batch(corpus: Path) -> None:
    torch.manual_seed(0)
    data = PretrainingDataModule(
        path=corpus, seed=0, global_batch_size=16, micro_batch_size=16, max_seq_length=48
    )
    (batch,) = next(iter(data.train_dataloader())).micro_batches
    assert isinstance(batch, PretrainingBatch)
    assert 0 < batch.next_sentence_label.sum() < 16
    module = PretrainingModule(small_encoder(data.vocab_size), **training_arguments())

    def losses() -> tuple[Tensor, Tensor]:
        output = module(batch)
        return (
            F.cross_entropy(output.prediction_logits, batch.masked_lm_labels),
            F.cross_entropy(output.seq_relationship_logits, batch.next_sentence_label),
        )

    assert all(loss.item() > 0.5 for loss in losses())
    mlm_loss, nsp_loss = fit(module, losses, steps=150)
    assert mlm_loss < 0.05
    assert nsp_loss < 0.05


def test_a_classifier_comes_near_zero_on_one_batch(corpus: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    data = ClassificationDataModule(
        train=str(write_labelled(tmp_path / "train.csv", 40)),
        tokenizer=str(corpus / "tokenizer.json"),
        seed=0,
        global_batch_size=16,
        micro_batch_size=16,
        max_seq_length=48,
    )
    (batch,) = next(iter(data.train_dataloader())).micro_batches
    assert isinstance(batch, ClassificationBatch)
    shuffled = batch.labels[torch.randperm(16)]  # nothing but the batch itself can be learnt
    module = ClassificationModule(
        small_encoder(data.vocab_size),
        **data.task_arguments(),
        classifier_dropout=0.0,
        **training_arguments(),
    )
    (loss,) = fit(module, lambda: (F.cross_entropy(module(batch), shuffled),), steps=80)
    assert loss < 0.05
