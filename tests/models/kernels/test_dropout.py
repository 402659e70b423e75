import math

import pytest
import torch

from clozekit.models.kernels.dropout import Dropout, draw_kept, dropout
from tests.models.saved import saved_tensors


@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
def test_share_scale_and_independence(p: float) -> None:
    torch.manual_seed(0)
    dropped = dropout(torch.ones(400, 1001), p, training=True)
    kept = dropped != 0
    error = 5 * math.sqrt(p * (1 - p) / dropped.numel())
    assert kept.float().mean().item() == pytest.approx(1 - p, abs=error)
    torch.testing.assert_close(
        dropped[kept].unique(), torch.tensor([1 / (1 - p)]), rtol=1e-4, atol=0
    )
    # The four values that share a draw are dropped independently of each other.
    flat = kept.flatten().float()
    for distance in (1, 2, 3, 4):
        both = (flat[:-distance] * flat[distance:]).mean().item()
        assert both == pytest.approx((1 - p) ** 2, abs=2 * error)


def test_the_mean_is_kept_whatever_the_rounding() -> None:
    torch.manual_seed(0)
    p = 1e-5  # rounded to 2**-16, half as much again
    dropped = dropout(torch.ones(4_000_000, dtype=torch.float64), p, training=True)
    assert dropped.mean().item() == pytest.approx(1, abs=5 * math.sqrt(2**-16 / 4_000_000))
    assert dropped.max().item() == pytest.approx(1 / (1 - 2**-16), rel=1e-12)


def test_nearly_all_may_be_dropped() -> None:
    """Rounded, such a probability would be 1, and the scale without bounds."""
    dropped = dropout(torch.ones(1000), 0.999999, training=True)
    assert dropped.isfinite().all()


def test_with_the_same_draw_it_is_the_plain_product() -> None:
    values = torch.randn(7, 5, dtype=torch.float64)
    torch.manual_seed(0)
    kept, scale = draw_kept(values.shape, 0.3)
    torch.manual_seed(0)
    dropped = dropout(values, 0.3, training=True)
    torch.testing.assert_close(dropped, torch.where(kept, values * scale, 0.0))


def test_the_gradient_has_the_same_mask() -> None:
    values = torch.randn(7, 3, requires_grad=True)
    dropped = dropout(values, 0.5, training=True)
    dropped.sum().backward()
    assert values.grad is not None
    torch.testing.assert_close(dropped, values * values.grad)


@pytest.mark.parametrize("shape", [(), (1,), (0, 4), (3, 5)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_shape_and_dtype_are_kept(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    dropped = dropout(torch.ones(shape, dtype=dtype), 0.3, training=True)
    assert dropped.shape == shape
    assert dropped.dtype == dtype


def test_nothing_is_done_without_need() -> None:
    values = torch.ones(3)
    assert Dropout(0.5).eval()(values) is values
    assert Dropout(0.0).train()(values) is values


def test_a_byte_a_value_is_kept_for_backward() -> None:
    values = torch.ones(7, 3, requires_grad=True)
    saved = saved_tensors(lambda: dropout(values, 0.5, training=True))
    assert [(x.dtype, x.shape) for x in saved] == [(torch.bool, (7, 3))]
