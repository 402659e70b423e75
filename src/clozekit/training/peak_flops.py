"""The peak floating-point operations per second of a device, also of GPUs that Lightning lacks."""

import torch
from lightning.fabric.accelerators.cuda import _is_ampere_or_later
from lightning.fabric.utilities.throughput import get_available_flops

TENSOR_FLOAT_32 = "tfloat32"

H200_SXM: dict[torch.dtype | str, float] = {
    torch.float64: 33.5e12,
    torch.float32: 66.9e12,
    TENSOR_FLOAT_32: 494.7e12,
    torch.bfloat16: 989.4e12,
    torch.float16: 989.4e12,
}
"""Those of the H100 SXM in Lightning's table: the H200 SXM has the same chip with more memory."""

BY_NAME = {"nvidia h200": H200_SXM}
"""By the whole name of a device: a slice of a GPU (MIG) has a longer one, and a lower peak."""


def peak_flops(device: torch.device, dtype: torch.dtype) -> float | None:
    """Returns the peak of a device for products of a dtype; None if it is unknown, as on a CPU.

    Names that Lightning does not know are looked up here, all others in Lightning's table.

    Args:
        device: The device.
        dtype: The dtype of the products. float32 is TensorFloat-32 if torch may use it.
    """
    if device.type == "cuda":
        peaks = BY_NAME.get(torch.cuda.get_device_name(device).lower())
        if peaks is not None:
            return peaks.get(_used(dtype))
    return get_available_flops(device, dtype)


def _used(dtype: torch.dtype) -> torch.dtype | str:
    is_allowed = torch.get_float32_matmul_precision() != "highest"
    if dtype is torch.float32 and is_allowed and _is_ampere_or_later():
        return TENSOR_FLOAT_32
    return dtype
