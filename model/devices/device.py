"""Torch's devices, and transfer of tensors to them."""

from __future__ import annotations

import torch
from torch import Tensor

from model.devices.cuda import uses_cuda


def resolve_device(device: str) -> torch.device:
    """Resolve "auto", "cpu" or "cuda" to a device.

    Raises:
        UsageError: cuda is requested but not available.
    """
    return torch.device("cuda", torch.cuda.current_device()) if uses_cuda(device) else torch.device("cpu")


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """`tensor` on `device`; unchanged if it is already there.

    The copy to a GPU uses pinned memory, so that it does not block the host.
    """
    if tensor.device == device or device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)
