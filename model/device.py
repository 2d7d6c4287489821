"""Bringing tensors to where the work is done."""

from __future__ import annotations

import torch
from torch import Tensor


def moved(tensor: Tensor, device: torch.device) -> Tensor:
    """`tensor` on `device`; itself, if it is there.

    To a GPU it goes from pinned memory, so that the host goes on while the copy waits its turn.
    """
    if tensor.device == device or device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)
