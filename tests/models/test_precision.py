"""The precision that losses are computed in."""

import pytest
import torch

from clozekit.models.precision import upcast


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        (torch.bfloat16, torch.float32),
        (torch.float16, torch.float32),
        (torch.float32, torch.float32),
        (torch.float64, torch.float64),
    ],
)
def test_half_precision_is_left_before_a_loss_and_double_is_kept(
    dtype: torch.dtype, expected: torch.dtype
) -> None:
    assert upcast(torch.ones(2, dtype=dtype)).dtype == expected
