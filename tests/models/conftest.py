"""The devices that tests of models run on."""

from collections.abc import Iterator

import pytest
import torch

from clozekit.models.kernels import varlen
from tests.models.kernels.flash_on_cpu import flash_attention_on_cpu

CUDA = pytest.param(
    "cuda",
    marks=[
        pytest.mark.gpu,
        pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
    ],
)


@pytest.fixture(params=["cpu", CUDA])
def device(request: pytest.FixtureRequest) -> torch.device:
    """The CPU, and a GPU where there is one."""
    return torch.device(request.param)


@pytest.fixture(params=["cpu", CUDA])
def flash_device(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[torch.device]:
    """A GPU with FlashAttention, and the CPU with a stand-in for it; in half precision only."""
    device = torch.device(request.param)
    if device.type == "cuda":
        reason = varlen.reason_against(device, torch.bfloat16, 64)
        if reason is not None:
            pytest.skip(reason)
        yield device
        return
    halves = (torch.float16, torch.bfloat16)
    monkeypatch.setattr(
        varlen,
        "reason_against",
        lambda device, dtype, head_dim: None if dtype in halves else "it is not in half precision",
    )
    with flash_attention_on_cpu():
        yield device


@pytest.fixture
def deterministic() -> Iterator[None]:
    """Deterministic algorithms, in which memory that is not written to is NaN."""
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)
