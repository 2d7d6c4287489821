"""Softmax over the training identities, with a margin on the cosine or the angle of the true one."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from model.devices.device import to_device
from model.losses.value import LossValue


class MarginSoftmax(nn.Module):
    """CosFace (Wang et al. 2018, arXiv 1801.09414) or ArcFace (Deng et al. 2019, arXiv 1801.07698).

    Logits are scale * cos to one learned unit row per identity. For the true identity CosFace uses cos - margin and
    ArcFace cos(angle + margin). Where angle + margin exceeds pi, ArcFace continues as cos - margin * sin(margin), so
    that it keeps decreasing.

    Args:
        kind: "cosface" or "arcface".
        margin: cosine for CosFace, radians for ArcFace.
    """

    def __init__(self, num_identities: int, embedding_dim: int, kind: str, margin: float, scale: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(num_identities, embedding_dim) * 0.01)
        self.kind = kind
        self.margin = margin
        self.scale = scale

    def forward(self, unit: Tensor, labels: Tensor) -> LossValue:
        """The mean cross entropy of unit rows [b, d] (float32) with labels [b]."""
        labels = to_device(labels, unit.device)
        cosines = unit @ functional.normalize(self.weight).T
        right = cosines.gather(1, labels[:, None])
        with_margin = right - self.margin if self.kind == "cosface" else self._turned(right)
        logits = self.scale * cosines.scatter(1, labels[:, None], with_margin)
        return LossValue(functional.cross_entropy(logits, labels))

    def _turned(self, cosine: Tensor) -> Tensor:
        sine = (1 - cosine.square()).clamp_min(1e-7).sqrt()
        turned = cosine * math.cos(self.margin) - sine * math.sin(self.margin)
        beyond = cosine - self.margin * math.sin(self.margin)
        return torch.where(cosine > -math.cos(self.margin), turned, beyond)
