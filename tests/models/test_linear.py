"""The linear layer's product on the CPU against torch's own."""

import pytest
import torch
from torch import Tensor, nn

from clozekit.models import linear
from clozekit.models.linear import Linear


def gradients(layer: nn.Linear, inputs: Tensor) -> list[Tensor]:
    return list(torch.autograd.grad(layer(inputs).sin().sum(), [inputs, layer.weight, layer.bias]))


@pytest.fixture
def products(monkeypatch: pytest.MonkeyPatch) -> list[torch.Size]:
    """Notes the shapes that oneDNN is given."""
    seen: list[torch.Size] = []
    product = linear._product

    def noted(inputs: Tensor, *arguments: Tensor) -> Tensor:
        seen.append(inputs.shape)
        return product(inputs, *arguments)

    monkeypatch.setattr(linear, "_product", noted)
    return seen


def layer_and_inputs(dtype: torch.dtype = torch.float32) -> tuple[Linear, Tensor]:
    torch.manual_seed(0)
    layer = Linear(256, 300, dtype=dtype)
    return layer, torch.randn(37, 256, dtype=dtype, requires_grad=True)


needs_onednn = pytest.mark.skipif(
    not linear._HAS_ONEDNN, reason="oneDNN's product is used on x86 where torch has it"
)


@needs_onednn
def test_outputs_and_gradients_are_those_of_torch(products: list[torch.Size]) -> None:
    layer, inputs = layer_and_inputs()
    plain = nn.Linear(256, 300)
    plain.load_state_dict(layer.state_dict())
    torch.testing.assert_close(layer(inputs), plain(inputs), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(
        gradients(layer, inputs), gradients(plain, inputs), rtol=1e-5, atol=1e-5
    )
    with torch.no_grad():
        torch.testing.assert_close(layer(inputs), plain(inputs), rtol=1e-5, atol=1e-5)
    # Forward twice, backward once, and once without gradients.
    assert products == [(37, 256), (37, 256), (37, 300), (37, 256)]


@needs_onednn
def test_what_is_frozen_gets_no_gradient() -> None:
    layer, inputs = layer_and_inputs()
    layer.requires_grad_(False)
    layer(inputs).sum().backward()
    assert layer.weight.grad is None and layer.bias.grad is None
    assert inputs.grad is not None


def test_other_numbers_and_shapes_go_torchs_way(products: list[torch.Size]) -> None:
    layer, inputs = layer_and_inputs()
    layer(inputs[None])
    layer(inputs[:0])
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(inputs).dtype == torch.bfloat16
    double, of_double = layer_and_inputs(torch.float64)
    double(of_double)
    Linear(8, 300)(torch.randn(5, 8))
    assert products == []
