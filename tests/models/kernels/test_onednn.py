"""oneDNN's products against torch's own."""

import pytest
import torch

from clozekit.models.kernels import onednn

needs_onednn = pytest.mark.skipif(
    not onednn.IS_AVAILABLE, reason="oneDNN's product is used on x86 where torch has it"
)


@needs_onednn
@pytest.mark.parametrize("has_bias", [True, False])
@pytest.mark.parametrize("is_transposed", [True, False])
def test_a_product_is_that_of_a_linear_layer(has_bias: bool, is_transposed: bool) -> None:
    torch.manual_seed(0)
    inputs = torch.randn(37, 256)
    weight = torch.randn(256, 300).t() if is_transposed else torch.randn(300, 256)
    bias = torch.randn(300) if has_bias else None
    expected = torch.nn.functional.linear(inputs, weight, bias)
    ours = onednn.product(inputs, weight, bias)
    torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-4)


@needs_onednn
def test_a_product_over_tokens_is_that_of_two_matrices() -> None:
    torch.manual_seed(0)
    left, right = torch.randn(37, 64), torch.randn(37, 96)
    ours = onednn.product_over_tokens(left, right)
    torch.testing.assert_close(ours, left.T @ right, rtol=1e-5, atol=1e-4)


def test_it_is_for_float32_matrices_of_the_cpu_alone() -> None:
    weight = torch.randn(3, 4)
    assert onednn.can_multiply(torch.randn(2, 4), weight) == onednn.IS_AVAILABLE
    assert not onednn.can_multiply(torch.randn(2, 4).double(), weight.double())
    assert not onednn.can_multiply(torch.randn(2, 2, 4), weight)
    assert not onednn.can_multiply(torch.randn(0, 4), weight)
    with torch.autocast("cpu", torch.bfloat16):
        assert not onednn.can_multiply(torch.randn(2, 4), weight)
