"""Compute embeddings of faces with a trained backbone."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from model.embedding.augment import normalise
from model.embedding.flip_tta import mirrored


def embed(
    backbone: nn.Module,
    images: NDArray[np.uint8],
    device: torch.device,
    batch_size: int = 256,
    *,
    flip_average: bool = False,
) -> NDArray[np.float32]:
    """Unit rows, float32 [n, d]; arguments as for `embed_raw`."""
    return unit_rows(embed_raw(backbone, images, device, batch_size, flip_average=flip_average))


def embed_raw(
    backbone: nn.Module,
    images: NDArray[np.uint8],
    device: torch.device,
    batch_size: int = 256,
    *,
    flip_average: bool = False,
) -> NDArray[np.float32]:
    """The backbone's outputs before normalization.

    Args:
        backbone: left in evaluation mode, on `device`.
        images: uint8 [n, px, px, 3], RGB.
        batch_size: faces per batch; affects memory only.
        flip_average: average with the output for the mirrored face, at twice the cost.

    Returns:
        float32 [n, d].
    """
    backbone = mirrored(backbone) if flip_average else backbone
    backbone.to(device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
    parts: list[NDArray[np.float32]] = []
    with torch.inference_mode():
        for start in range(0, len(images), batch_size):
            batch = normalise(torch.tensor(images[start : start + batch_size], device=device))
            parts.append(backbone(batch).float().cpu().numpy())
    return np.concatenate(parts) if parts else np.zeros((0, 0), np.float32)


def unit_rows(raw: NDArray[np.float32]) -> NDArray[np.float32]:
    """Normalize rows to unit length; a row of zeros stays."""
    lengths = np.linalg.norm(raw, axis=1, keepdims=True)
    unit: NDArray[np.float32] = raw / np.maximum(lengths, np.float32(1e-12))
    return unit
