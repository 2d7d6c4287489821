"""Whether training and embedding use a GPU."""

from __future__ import annotations

import ctypes

from storage.errors import UsageError


def uses_cuda(device: str) -> bool:
    """Whether "auto", "cpu" or "cuda" means a CUDA device here.

    Raises:
        UsageError: cuda is requested but not available.
    """
    if device == "cpu":
        return False
    found = has_cuda()
    if device == "cuda" and not found:
        raise UsageError("device cuda was requested, but torch finds no CUDA device; use cpu or auto")
    return found


def has_cuda() -> bool:
    """Whether torch finds a CUDA device. Torch takes 2 CPU-s to import, so a machine without a driver is not asked."""
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    import torch  # noqa: PLC0415

    return torch.cuda.is_available()
