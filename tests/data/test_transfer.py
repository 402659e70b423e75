"""A step in one buffer: one copy to a device, and the same tensors there."""

import pickle
import resource
from collections.abc import Callable, Iterator
from dataclasses import fields
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from clozekit.data.batch import Batch
from clozekit.data.labelled.labelled_source import LabelledSource
from clozekit.data.loader import TrainingLoader, loader_options
from clozekit.data.order import Position
from clozekit.data.packing import Packing
from clozekit.data.step import StepBatch
from clozekit.data.stream import BatchShape, Phase, TrainingStream
from clozekit.data.transfer import ALIGNMENT, DeviceCopy, TransferLayout, gathered
from tests.data.labelled.labelled_rows import TASKS, drawn
from tests.data.test_step import Copies

gpu = pytest.mark.gpu
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def stream_of(task: str = "classification") -> TrainingStream:
    source = LabelledSource(drawn(task, 20), is_training=True)
    return TrainingStream([Phase(source, BatchShape(6, 2))], 0, Position())


def step_of(task: str = "classification") -> StepBatch[Batch]:
    return next(iter(stream_of(task)))


def tensors_of(batch: Any) -> dict[str, Tensor]:
    """All tensors of a batch, by name."""
    found: dict[str, Tensor] = {}
    for field in fields(batch):
        value = getattr(batch, field.name)
        if isinstance(value, Tensor):
            found[field.name] = value
        elif isinstance(value, Packing):
            found |= tensors_of(value)
    return found


def assert_same(one: StepBatch[Batch], other: StepBatch[Batch]) -> None:
    assert len(one.micro_batches) == len(other.micro_batches)
    for ours, theirs in zip(one.micro_batches, other.micro_batches, strict=True):
        expected = tensors_of(theirs)
        assert tensors_of(ours).keys() == expected.keys()
        for name, tensor in tensors_of(ours).items():
            assert tensor.dtype == expected[name].dtype, name
            assert torch.equal(tensor.cpu(), expected[name].cpu()), name
        assert ours.packing.max_seqlen == theirs.packing.max_seqlen
        assert ours.sample_ids is theirs.sample_ids, "the device does not need them"


@pytest.mark.parametrize("task", TASKS)
def test_a_step_in_one_buffer_is_the_same(task: str) -> None:
    step = step_of(task)
    packed = step.in_one_buffer()
    assert_same(packed, step)
    assert (packed.index, packed.totals) == (step.index, step.totals)
    storages = {
        tensor.untyped_storage().data_ptr()
        for batch in packed.micro_batches
        for name, tensor in tensors_of(batch).items()
        if name != "sample_ids"
    }
    assert len(storages) == 1


@pytest.mark.parametrize("task", TASKS)
def test_a_step_in_one_buffer_moves_in_one_copy(task: str) -> None:
    step = step_of(task).in_one_buffer()
    with Copies() as copies:
        moved = step.to("meta")
    assert copies.non_blocking == [True]
    for batch, original in zip(moved.micro_batches, step.micro_batches, strict=True):
        for name, tensor in tensors_of(batch).items():
            assert tensor.shape == tensors_of(original)[name].shape
            assert tensor.device.type == ("cpu" if name == "sample_ids" else "meta"), name


def test_nothing_is_copied_on_the_cpu() -> None:
    step = step_of()
    with Copies() as copies:
        moved = step.to("cpu")
    assert copies.non_blocking == []
    for batch, original in zip(moved.micro_batches, step.micro_batches, strict=True):
        for name, tensor in tensors_of(batch).items():
            assert tensor is tensors_of(original)[name]


TENSORS: dict[str, Callable[[], Tensor]] = {
    "bytes": lambda: torch.arange(3, dtype=torch.uint8),
    "a number": lambda: torch.tensor(1.5, dtype=torch.float64),
    "nothing": lambda: torch.empty(0, 3, dtype=torch.int32),
    "flags": lambda: torch.tensor([True, False, True]),
    "a transposed matrix": lambda: torch.arange(12.0).view(3, 4).t(),
    "every second value": lambda: torch.arange(9)[::2],
    "half precision": lambda: torch.ones(5, dtype=torch.bfloat16),
}


def test_tensors_of_any_kind_are_aligned_views() -> None:
    tensors = [make() for make in TENSORS.values()]
    layout = TransferLayout.of(tensors)
    buffer = gathered(tensors, layout, pin=False)
    assert buffer.numel() == layout.num_bytes
    for view, tensor in zip(layout.views(buffer), tensors, strict=True):
        assert view.dtype == tensor.dtype and torch.equal(view, tensor)
        assert (view.data_ptr() - buffer.data_ptr()) % ALIGNMENT == 0 or not view.numel()
    assert TransferLayout.of([]).views(gathered([], TransferLayout.of([]), pin=False)) == []


def test_a_copy_that_was_started_is_used_once_and_for_its_device_only() -> None:
    step = step_of().in_one_buffer()
    with Copies() as copies:
        step.start_copy(torch.device("meta"))
        assert copies.non_blocking == [True]
        step.to("meta")
        assert copies.non_blocking == [True]
    assert_same(step.to("cpu"), step)


def test_a_loader_starts_the_copies_of_the_steps_it_yields(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    started: list[int] = []
    monkeypatch.setattr(StepBatch, "start_copy", lambda step, device: started.append(step.index))
    loader = TrainingLoader(
        stream_of(), Position, torch.device("meta"), **loader_options(0, pin_memory=False)
    )
    steps = iter(loader)
    assert [next(steps).index, next(steps).index] == started == [0, 1]
    plain = TrainingLoader(stream_of(), Position, **loader_options(0, pin_memory=False))
    assert [step.index for step in islice(plain, 2)] == [0, 1] and started == [0, 1]


@gpu
@needs_gpu
@pytest.mark.parametrize("num_workers", [0, 2])
def test_steps_arrive_on_a_gpu_as_they_were(num_workers: int) -> None:
    device = torch.device("cuda", 0)
    loader = TrainingLoader(
        stream_of(), Position, device, **loader_options(num_workers, pin_memory=True)
    )
    pinned = list(islice(loader, 12))
    for step, expected in zip(pinned, stream_of(), strict=False):
        assert step._buffer is not None and step._buffer.is_pinned()
        moved = step.to(device)
        assert {b.input_ids.device for b in moved.micro_batches} == {device}
        for ours, theirs in zip(moved.micro_batches, expected.micro_batches, strict=True):
            for name, tensor in tensors_of(ours).items():
                assert torch.equal(tensor.cpu(), tensors_of(theirs)[name]), name


@gpu
@needs_gpu
def test_memory_is_not_reused_while_the_gpu_computes_on_it() -> None:
    device = torch.device("cuda", 0)
    size = 1 << 20
    buffers = [torch.full((size,), i, dtype=torch.uint8).pin_memory() for i in range(20)]
    found = []
    for buffer in buffers:
        copy = DeviceCopy(buffer, device).wait()
        torch.cuda._sleep(10_000_000)  # cycles: the computation lags behind the copies
        found.append(copy.amax())
        del copy
    assert torch.stack(found).tolist() == list(range(20))


@gpu
@needs_gpu
def test_a_copy_does_not_wait_for_the_computation() -> None:
    device = torch.device("cuda", 0)
    buffer = torch.ones(1 << 20, dtype=torch.uint8).pin_memory()
    DeviceCopy(buffer, device).wait()  # allocates
    torch.cuda.synchronize()
    torch.cuda._sleep(2_000_000_000)
    computed = torch.cuda.Event()
    computed.record()
    copy = DeviceCopy(buffer, device)
    copy._done.synchronize()
    assert not computed.query(), "the computation is still running"
    assert int(copy.wait().sum()) == 1 << 20


@pytest.fixture
def few_descriptors() -> Iterator[None]:
    """Allows this process and its children few more open files than it has."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    is_open = len([*Path("/dev/fd").iterdir()])
    resource.setrlimit(resource.RLIMIT_NOFILE, (is_open + 100, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.usefixtures("few_descriptors")
def test_a_worker_passes_on_a_step_of_many_micro_batches() -> None:
    source = LabelledSource(drawn("classification", 200), is_training=True)
    stream = TrainingStream([Phase(source, BatchShape(128, 1))], 0, Position())
    expected = list(islice(iter(stream), 3))
    loader = TrainingLoader(stream, Position, **loader_options(1, pin_memory=False))
    for found, step in zip(loader, expected, strict=False):
        assert len(found.micro_batches) == 128
        assert found.index == step.index and found.totals == step.totals
        for ours, theirs in zip(found.micro_batches, step.micro_batches, strict=True):
            named = tensors_of(theirs)
            assert all(torch.equal(t, named[name]) for name, t in tensors_of(ours).items())


def test_a_pickled_step_is_the_same_step() -> None:
    step = step_of().in_one_buffer()
    found = pickle.loads(pickle.dumps(step))
    for ours, theirs in zip(found.micro_batches, step.micro_batches, strict=True):
        named = tensors_of(theirs)
        assert tensors_of(ours).keys() == named.keys()
        assert all(torch.equal(t, named[name]) for name, t in tensors_of(ours).items())
    assert found.next_position == step.next_position
