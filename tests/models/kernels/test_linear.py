"""The linear layers' products on the CPU against torch's own."""

import pytest
import torch
from torch import Tensor, nn

from clozekit.models.kernels import onednn
from clozekit.models.kernels.linear import GELULinear, Linear, activated_linear
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


class GELUThenLinear(nn.Module):
    """The plain twin of `activated_linear`, and the same weights in it."""

    def __init__(self, approximate: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.approximate = approximate
        self.weight = nn.Parameter(torch.randn(24, 40) / 6)
        self.bias = nn.Parameter(torch.randn(24))
        self.is_plain = True

    def forward(self, inputs: Tensor) -> Tensor:
        if self.is_plain:
            activated = nn.functional.gelu(inputs, approximate=self.approximate)
            return nn.functional.linear(activated, self.weight, self.bias)
        return activated_linear(inputs, self.weight, self.bias, self.approximate)


def outputs_and_gradients(layer: GELUThenLinear, inputs: Tensor, is_plain: bool) -> list[Tensor]:
    layer.is_plain = is_plain
    output = layer(inputs)
    return [output, *torch.autograd.grad(output.sin().sum(), [inputs, *layer.parameters()])]


@pytest.mark.parametrize("approximate", ["none", "tanh"])
@pytest.mark.parametrize(
    "dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16], ids=str
)
def test_a_recomputed_gelu_gives_the_same(
    device: torch.device, dtype: torch.dtype, approximate: str
) -> None:
    layer = GELUThenLinear(approximate).to(device, dtype)
    torch.manual_seed(1)
    inputs = torch.randn(37, 40).to(device, dtype).requires_grad_()
    plain = outputs_and_gradients(layer, inputs, is_plain=True)
    ours = outputs_and_gradients(layer, inputs, is_plain=False)
    # The same products; a library may sum those of a transposed matrix in another order.
    steps = 2 if dtype in (torch.bfloat16, torch.float16) else 16
    for mine, theirs in zip(ours, plain, strict=True):
        assert mine.dtype == dtype
        tolerance = steps * torch.finfo(dtype).eps * float(theirs.detach().abs().max())
        torch.testing.assert_close(mine, theirs, rtol=0, atol=tolerance)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_a_recomputed_gelu_gives_the_same_under_autocast(
    device: torch.device, dtype: torch.dtype
) -> None:
    layer = GELUThenLinear("none").to(device)
    inputs = torch.randn(37, 40).to(device).requires_grad_()
    half = inputs.detach().to(dtype).requires_grad_()
    for given in (half, inputs):
        results = []
        for is_plain in (True, False):
            layer.is_plain = is_plain
            with torch.autocast(device.type, dtype):
                output = layer(given)
            assert output.dtype == dtype
            loss = output.float().sin().sum()
            results.append([output, *torch.autograd.grad(loss, [given, *layer.parameters()])])
        for theirs, mine in zip(*results, strict=True):
            assert mine.dtype == theirs.dtype
            # The twin rounds inputs of float32 after the GELU, and `activated_linear` before it.
            tolerance = 4 * torch.finfo(dtype).eps * float(theirs.detach().abs().max())
            torch.testing.assert_close(mine, theirs, rtol=0, atol=tolerance)


@pytest.mark.parametrize("frozen", [("weight",), ("bias",), ("weight", "bias"), ()])
def test_a_recomputed_gelu_keeps_only_its_input(
    device: torch.device, frozen: tuple[str, ...]
) -> None:
    layer = GELUThenLinear("none").to(device)
    layer.is_plain = False
    for name in frozen:
        getattr(layer, name).requires_grad_(False)
    inputs = torch.randn(37, 40).to(device).requires_grad_()
    saved = saved_tensors(lambda: layer(inputs).sum().backward())
    assert {x.data_ptr() for x in saved} == {inputs.data_ptr(), layer.weight.data_ptr()}
    assert inputs.grad is not None
    assert {name for name, p in layer.named_parameters() if p.grad is None} == set(frozen)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_the_layer_recomputes_its_gelu_on_a_gpu() -> None:
    layer, inputs = gelu_layer_and_inputs("none")
    layer, inputs = layer.cuda(), inputs.detach().cuda().requires_grad_()
    saved = saved_tensors(lambda: layer(inputs))
    assert {x.data_ptr() for x in saved} == {inputs.data_ptr(), layer.weight.data_ptr()}
