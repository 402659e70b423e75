"""The linear layers' products on the CPU against torch's own."""

import pytest
import torch
from torch import Tensor, nn

from clozekit.models.kernels import onednn
from clozekit.models.kernels.linear import GELULinear, Linear
from tests.models.saved import saved_tensors


def gradients(layer: nn.Module, inputs: Tensor) -> list[Tensor]:
    return list(torch.autograd.grad(layer(inputs).sin().sum(), [inputs, *layer.parameters()]))


@pytest.fixture
def products(monkeypatch: pytest.MonkeyPatch) -> list[torch.Size]:
    """Notes the shapes that oneDNN is given."""
    seen: list[torch.Size] = []
    product = onednn.product

    def noted(inputs: Tensor, *arguments: Tensor) -> Tensor:
        seen.append(inputs.shape)
        return product(inputs, *arguments)

    monkeypatch.setattr(onednn, "product", noted)
    return seen


def layer_and_inputs(dtype: torch.dtype = torch.float32) -> tuple[Linear, Tensor]:
    torch.manual_seed(0)
    layer = Linear(256, 300, dtype=dtype)
    return layer, torch.randn(37, 256, dtype=dtype, requires_grad=True)


def gelu_layer_and_inputs(approximate: str) -> tuple[GELULinear, Tensor]:
    torch.manual_seed(0)
    return GELULinear(256, 300, approximate), torch.randn(37, 256, requires_grad=True)


def with_weights_of(layer: nn.Linear, activation: nn.Module | None = None) -> nn.Module:
    plain = nn.Linear(layer.in_features, layer.out_features)
    plain.load_state_dict(layer.state_dict())
    return plain if activation is None else nn.Sequential(activation, plain)


needs_onednn = pytest.mark.skipif(
    not onednn.IS_AVAILABLE, reason="oneDNN's product is used on x86 where torch has it"
)


@needs_onednn
def test_outputs_and_gradients_are_those_of_torch(products: list[torch.Size]) -> None:
    layer, inputs = layer_and_inputs()
    plain = with_weights_of(layer)
    torch.testing.assert_close(layer(inputs), plain(inputs), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(
        gradients(layer, inputs), gradients(plain, inputs), rtol=1e-5, atol=1e-5
    )
    with torch.no_grad():
        torch.testing.assert_close(layer(inputs), plain(inputs), rtol=1e-5, atol=1e-5)
    # Forward twice, the gradients of inputs and weight, and once without gradients.
    assert products == [(37, 256), (37, 256), (37, 300), (300, 37), (37, 256)]


@pytest.mark.parametrize("approximate", ["none", "tanh"])
def test_with_gelu_they_are_those_of_torch(approximate: str) -> None:
    layer, inputs = gelu_layer_and_inputs(approximate)
    plain = with_weights_of(layer, nn.GELU(approximate))
    torch.testing.assert_close(layer(inputs), plain(inputs), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(
        gradients(layer, inputs), gradients(plain, inputs), rtol=1e-5, atol=1e-5
    )
    with torch.no_grad():
        torch.testing.assert_close(layer(inputs), plain(inputs), rtol=1e-5, atol=1e-5)


@needs_onednn
def test_what_is_frozen_gets_no_gradient() -> None:
    for layer, inputs in (layer_and_inputs(), gelu_layer_and_inputs("none")):
        layer.requires_grad_(False)
        layer(inputs).sum().backward()
        assert layer.weight.grad is None and layer.bias.grad is None
        assert inputs.grad is not None


@needs_onednn
def test_what_is_given_may_have_no_gradient() -> None:
    for layer, inputs in (layer_and_inputs(), gelu_layer_and_inputs("none")):
        layer(inputs.detach()).sum().backward()
        assert layer.weight.grad is not None
        torch.testing.assert_close(layer.bias.grad, torch.full((300,), 37.0))


@needs_onednn
def test_the_gelu_is_not_kept_for_backward() -> None:
    layer, inputs = gelu_layer_and_inputs("none")
    saved = saved_tensors(lambda: layer(inputs))
    assert {x.data_ptr() for x in saved} == {inputs.data_ptr(), layer.weight.data_ptr()}


def test_other_numbers_and_shapes_go_torchs_way(products: list[torch.Size]) -> None:
    layer, inputs = layer_and_inputs()
    layer(inputs[None])
    layer(inputs[:0])
    with torch.autocast("cpu", torch.bfloat16):
        assert layer(inputs).dtype == torch.bfloat16
        gelu_layer, _ = gelu_layer_and_inputs("none")
        assert gelu_layer(inputs).dtype == torch.bfloat16
    double, of_double = layer_and_inputs(torch.float64)
    double(of_double)
    assert products == []
