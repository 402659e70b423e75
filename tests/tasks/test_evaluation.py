"""Evaluation: every example once, on any number of processes, and its metrics are right."""

from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from clozekit.data.batch import ClassificationBatch, PretrainingBatch
from clozekit.data.labelled.classification import ClassificationDataModule
from clozekit.data.module import StreamDataModule
from clozekit.data.pretraining.pair_datamodule import PretrainingDataModule
from clozekit.data.stream import EvaluationStream
from clozekit.errors import ConfigError
from clozekit.tasks.base import TaskModule
from clozekit.tasks.classification import ClassificationModule
from clozekit.tasks.pretraining import PretrainingModule
from tests.programs.texts import write_labelled
from tests.tasks.models import small_encoder, training_arguments
from tests.tasks.training import trainer_of


class GuessingModule(ClassificationModule):
    """Logits at random, the same for the same batch."""

    def forward(self, batch: ClassificationBatch) -> Tensor:
        generator = torch.Generator().manual_seed(int(batch.input_ids.sum()))
        return torch.randn(batch.batch_size, 4, generator=generator)


@pytest.fixture(scope="module")
def pretraining(corpus: Path) -> PretrainingDataModule:
    return PretrainingDataModule(
        path=corpus, seed=0, global_batch_size=8, micro_batch_size=8, max_seq_length=48
    )


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_every_example_comes_once_over_all_processes(
    world_size: int, pretraining: PretrainingDataModule
) -> None:
    source = pretraining.sources["validation"]
    number = sum(source.num_samples(0, shard) for shard in range(source.num_shards))
    assert world_size == 1 or (number % 8 and number % world_size), "shares are uneven"
    streams = [EvaluationStream(source, 8, rank, world_size) for rank in range(world_size)]
    loaded = chain(*streams)
    samples = [tuple(row) for one in loaded for row in one.batch.sample_ids.tolist()]
    assert len(samples) == number == len(set(samples))
    assert {epoch for epoch, _, _ in samples} == {0}


def test_validation_is_the_same_in_every_epoch(pretraining: PretrainingDataModule) -> None:
    first, again = ([one.batch for one in pretraining.val_dataloader()] for _ in range(2))
    for batch, same in zip(first, again, strict=True):
        assert isinstance(batch, PretrainingBatch) and isinstance(same, PretrainingBatch)
        assert torch.equal(batch.input_ids, same.input_ids)
        assert torch.equal(batch.masked_lm_labels, same.masked_lm_labels)


def masks_of(corpus: Path, split: str, **options: Any) -> tuple[list[int], float]:
    """The labels of a split's masked tokens, and the share of the other tokens that are [MASK]."""
    data = PretrainingDataModule(
        path=corpus, seed=0, global_batch_size=8, micro_batch_size=8, max_seq_length=48, **options
    )
    source = data.sources[split]
    batches = [source.build([span], False) for span in source.evaluation_spans(8)]
    return (
        [label for batch in batches for label in batch.masked_lm_labels.tolist()],  # type: ignore[attr-defined]
        float(np.mean([i == data.special_tokens.mask for b in batches for i in b.input_ids])),
    )


def test_the_masks_of_validation_do_not_depend_on_those_of_training(corpus: Path) -> None:
    training = {
        "masked_lm_prob": 0.4,
        "mask_token_prob": 1.0,
        "random_token_prob": 0.0,
        "max_predictions_per_seq": 2,
        "whole_word_mask": True,
    }
    usual = masks_of(corpus, "validation")
    assert masks_of(corpus, "validation", **training) == usual
    assert masks_of(corpus, "train", **training) != masks_of(corpus, "train")
    own = masks_of(corpus, "validation", validation_masking={"masked_lm_prob": 0.4})
    assert len(own[0]) > 2 * len(usual[0])
    with pytest.raises(ConfigError, match=r"validation_masking\.masked_lm_prob=2"):
        masks_of(corpus, "validation", validation_masking={"masked_lm_prob": 2})


def validated(module: TaskModule[Any], data: StreamDataModule, folder: Path) -> dict[str, Tensor]:
    """The metrics of a validation by Lightning's Trainer."""
    trainer = trainer_of(folder, 1, validate_every=1)
    trainer.validate(module, datamodule=data, verbose=False)
    return trainer.callback_metrics


@torch.no_grad()
def test_pretrainings_metrics_are_means_over_targets_and_pairs(
    pretraining: PretrainingDataModule, tmp_path: Path
) -> None:
    torch.manual_seed(0)
    module = PretrainingModule(small_encoder(pretraining.vocab_size), **training_arguments())
    logits, labels, nsp_logits, nsp_labels = [], [], [], []
    metrics = validated(module, pretraining, tmp_path)
    module.eval()
    for loaded in pretraining.val_dataloader():
        batch = loaded.batch
        assert isinstance(batch, PretrainingBatch)
        output = module(batch)
        logits.append(output.prediction_logits)
        labels.append(batch.masked_lm_labels)
        nsp_logits.append(output.seq_relationship_logits)
        nsp_labels.append(batch.next_sentence_label)
    every_logit, label = torch.cat(logits), torch.cat(labels)
    assert metrics["validation/mlm_loss"] == pytest.approx(
        float(F.cross_entropy(every_logit, label)), rel=1e-5
    )
    assert metrics["validation/mlm_accuracy"] == pytest.approx(
        float((every_logit.argmax(-1) == label).float().mean()), rel=1e-5, abs=1e-6
    )
    every_logit, label = torch.cat(nsp_logits), torch.cat(nsp_labels)
    assert metrics["validation/nsp_loss"] == pytest.approx(
        float(F.cross_entropy(every_logit, label)), rel=1e-5
    )
    assert metrics["validation/nsp_accuracy"] == pytest.approx(
        float((every_logit.argmax(-1) == label).float().mean()), rel=1e-5
    )
    assert metrics["validation/random_pairs"] == pytest.approx(float(label.float().mean()))


@torch.no_grad()
def test_classifications_metrics_are_those_of_all_rows(corpus: Path, tmp_path: Path) -> None:
    data = ClassificationDataModule(
        train=str(write_labelled(tmp_path / "train.csv", 60)),
        test=str(write_labelled(tmp_path / "test.csv", 45, seed=1)),
        tokenizer=str(corpus / "tokenizer.json"),
        seed=0,
        global_batch_size=8,
        micro_batch_size=8,
        max_seq_length=48,
    )
    encoder = small_encoder(data.vocab_size)
    module = GuessingModule(encoder, **data.task_arguments(), **training_arguments())
    trainer = trainer_of(tmp_path, 1)
    trainer.test(module, datamodule=data, verbose=False)
    metrics = {n.removeprefix("test/"): value for n, value in trainer.callback_metrics.items()}
    logits, labels = [], []
    for loaded in data.test_dataloader():
        batch = loaded.batch
        assert isinstance(batch, ClassificationBatch)
        logits.append(module(batch))
        labels.append(batch.labels)
    every_logit, label = torch.cat(logits), torch.cat(labels)
    assert len(label) == 45
    guess = every_logit.argmax(-1)
    assert len(set(guess.tolist())) > 1
    assert metrics["loss"] == pytest.approx(float(F.cross_entropy(every_logit, label)))
    assert metrics["accuracy"] == pytest.approx(float((guess == label).float().mean()))
    scores = []
    for name in range(4):
        hits = int(((guess == name) & (label == name)).sum())
        named = int((guess == name).sum()) + int((label == name).sum())
        scores.append(2 * hits / named if named else 0.0)
    assert metrics["f1_macro"] == pytest.approx(sum(scores) / len(scores))
