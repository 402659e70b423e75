"""What a loader yields: what moves with it, and how."""

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from clozekit.data.batch import Batch
from clozekit.data.labelled.labelled_source import LabelledSource
from clozekit.data.order import Position
from clozekit.data.step import EvaluationBatch, StepBatch
from clozekit.data.stream import BatchShape, EvaluationStream, Phase, TrainingStream
from tests.data.labelled.labelled_rows import drawn


class Copies(TorchDispatchMode):
    """Keeps the `non_blocking` of every copy to a device."""

    def __init__(self) -> None:
        super().__init__()
        self.non_blocking: list[bool] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is torch.ops.aten._to_copy.default:
            self.non_blocking.append(kwargs.get("non_blocking", False))
        return func(*args, **kwargs)


def tensors(batch: Batch) -> dict[str, torch.Tensor]:
    """The tensors of a batch of sentences."""
    packing = batch.packing
    return {
        "input_ids": batch.input_ids,
        "token_type_ids": batch.token_type_ids,
        "labels": batch.labels,  # type: ignore[attr-defined]
        "cu_seqlens": packing.cu_seqlens,
        "position_ids": packing.position_ids,
        "indices": packing.indices,
    }


def one_step() -> StepBatch[Batch]:
    source = LabelledSource(drawn("classification", 20), is_training=True)
    return next(iter(TrainingStream([Phase(source, BatchShape(6, 2))], 0, Position())))


def test_a_step_moves_all_of_its_micro_batches_but_their_sample_ids() -> None:
    step = one_step()
    with Copies() as copies:
        moved = step.to(torch.device("meta"))
    assert len(moved.micro_batches) == len(step.micro_batches) == 3
    for batch, original in zip(moved.micro_batches, step.micro_batches, strict=True):
        assert {tensor.device.type for tensor in tensors(batch).values()} == {"meta"}
        assert batch.sample_ids is original.sample_ids and batch.sample_ids.device.type == "cpu"
    assert len(copies.non_blocking) >= 3 * len(tensors(step.micro_batches[0]))
    assert all(copies.non_blocking)


def test_what_is_known_of_a_step_stays_with_it_and_the_step_itself_as_it_was() -> None:
    step = one_step()
    moved = step.to("meta")
    assert isinstance(moved, StepBatch) and moved is not step
    assert (moved.index, moved.totals, moved.next_position) == (
        step.index,
        step.totals,
        step.next_position,
    )
    assert step.micro_batches[0].input_ids.device.type == "cpu"


def test_a_batch_of_an_evaluation_moves_likewise_and_keeps_its_rows() -> None:
    source = LabelledSource(drawn("classification", 20), is_training=False)
    loaded = next(iter(EvaluationStream(source, 4, 0, 1)))
    with Copies() as copies:
        moved = loaded.to("meta")
    assert isinstance(moved, EvaluationBatch)
    assert {tensor.device.type for tensor in tensors(moved.batch).values()} == {"meta"}
    assert moved.batch.sample_ids is loaded.batch.sample_ids
    assert moved.batch.examples == loaded.batch.examples and len(moved.batch.examples) == 4
    assert len(copies.non_blocking) >= len(tensors(loaded.batch)) and all(copies.non_blocking)
