"""The card: what it is, what its data sheet says, and how fast it multiplies matrices."""

import platform
import re
import time
from collections.abc import Callable
from typing import Any

import torch

DATA_SHEETS = (
    # NVIDIA H200, data sheet: 1,979 TFLOP/s (SXM) and 1,671 (NVL) with sparsity.
    # https://www.nvidia.com/en-us/data-center/h200/
    (r"H200 NVL", 835e12),
    (r"H200", 989e12),
    # NVIDIA H100, data sheet: 1,979 (SXM), 1,671 (NVL) and 1,513 (PCIe) with sparsity.
    # https://www.nvidia.com/en-us/data-center/h100/
    (r"H100 NVL", 835e12),
    (r"H100 PCIe", 756e12),
    (r"H100", 989e12),
    # NVIDIA A100, data sheet. https://www.nvidia.com/en-us/data-center/a100/
    (r"A100", 312e12),
    # NVIDIA A10, data sheet. https://www.nvidia.com/en-us/data-center/products/a10-gpu/
    (r"A10\b", 125e12),
    # NVIDIA L40S, data sheet. https://www.nvidia.com/en-us/data-center/l40s/
    (r"L40S", 362e12),
    # NVIDIA L4, data sheet: 242 with sparsity. https://www.nvidia.com/en-us/data-center/l4/
    (r"L4\b", 121e12),
)
"""Dense bfloat16 operations a second on tensor cores, with float32 sums, by the card's name."""

SHAPES = ((8192, 8192, 8192), (32768, 768, 3072), (32768, 3072, 768), (32768, 1024, 4096))
"""Rows, inner size and columns; the last three are those of feed-forward layers."""


def measure(tell: Callable[[dict[str, Any]], None], settings: dict[str, Any]) -> None:
    import lightning
    import transformers

    device = torch.device(settings["device"])
    if device.type == "cuda" and not torch.cuda.is_available():
        tell({"problem": f"torch {torch.__version__} finds no CUDA device"})
        return
    row: dict[str, Any] = {
        "card": card_name(device),
        "data_sheet_rate": data_sheet_rate(card_name(device)),
        "torch": torch.__version__,
        "lightning": lightning.__version__,
        "transformers": transformers.__version__,
        "python": platform.python_version(),
    }
    if device.type == "cuda":
        facts = torch.cuda.get_device_properties(device)
        row |= {
            "memory_gib": round(facts.total_memory / 2**30, 1),
            "capability": list(torch.cuda.get_device_capability(device)),
            "cuda": torch.version.cuda,
        }
    tell(row)
    tell(row | {"matrix_product_rate": matrix_product_rate(device, settings["smoke"])})


def card_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"


def data_sheet_rate(name: str) -> float | None:
    for pattern, rate in DATA_SHEETS:
        if re.search(pattern, name):
            return rate
    return None


def matrix_product_rate(device: torch.device, is_toy: bool) -> float:
    """Measures the best rate of bfloat16 products over the shapes, in operations a second."""
    best = 0.0
    for rows, inner, columns in ((64, 64, 64),) if is_toy else SHAPES:
        left = torch.randn(rows, inner, device=device, dtype=torch.bfloat16)
        right = torch.randn(inner, columns, device=device, dtype=torch.bfloat16)
        for _ in range(3):
            left @ right
        number = 2 if is_toy else 20
        seconds = []
        for _ in range(1 if is_toy else 5):
            synchronize(device)
            began = time.perf_counter()
            for _ in range(number):
                left @ right
            synchronize(device)
            seconds.append((time.perf_counter() - began) / number)
        best = max(best, 2 * rows * inner * columns / min(seconds))
    return best


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
