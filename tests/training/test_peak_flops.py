"""The peaks of GPUs by their names. No GPU is needed: only its name is looked up."""

from collections.abc import Iterator

import pytest
import torch

from clozekit.training import peak_flops as module
from clozekit.training.peak_flops import peak_flops

GPU = torch.device("cuda", 0)


@pytest.fixture(autouse=True)
def float32_precision() -> Iterator[None]:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    yield
    torch.set_float32_matmul_precision(before)


@pytest.mark.parametrize(
    ("name", "dtype", "peak"),
    [
        ("NVIDIA H200", torch.bfloat16, 989.4e12),
        ("NVIDIA H200", torch.float32, 494.7e12),
        ("NVIDIA H200", torch.float64, 33.5e12),
        # Lightning's own.
        ("NVIDIA H100 80GB HBM3", torch.bfloat16, 989.4e12),
        ("NVIDIA A100-SXM4-80GB", torch.bfloat16, 312e12),
    ],
)
def test_the_peak_of_a_name(
    name: str, dtype: torch.dtype, peak: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    _name_gpu(monkeypatch, name)
    assert peak_flops(GPU, dtype) == peak


def test_without_tensor_float_32_the_peak_is_that_of_float32(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _name_gpu(monkeypatch, "NVIDIA H200")
    torch.set_float32_matmul_precision("highest")
    assert peak_flops(GPU, torch.float32) == 66.9e12


@pytest.mark.parametrize("name", ["NVIDIA H200 MIG 1g.18gb", "NVIDIA H200 NVL", "NVIDIA X1"])
def test_an_unknown_name_has_none(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _name_gpu(monkeypatch, name)
    with pytest.warns(UserWarning, match="FLOPs not found"):
        assert peak_flops(GPU, torch.bfloat16) is None


def test_a_cpu_has_none() -> None:
    assert peak_flops(torch.device("cpu"), torch.float32) is None


def test_lightnings_table_still_lacks_what_is_added(monkeypatch: pytest.MonkeyPatch) -> None:
    """If it fails, Lightning knows the name, and the entry can go."""
    for name in module.BY_NAME:
        _name_gpu(monkeypatch, name)
        with pytest.warns(UserWarning, match="FLOPs not found"):
            assert module.get_available_flops(GPU, torch.bfloat16) is None


def _name_gpu(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: name)
    monkeypatch.setattr(module, "_is_ampere_or_later", lambda: True)
    monkeypatch.setattr("lightning.fabric.accelerators.cuda._is_ampere_or_later", lambda: True)
