"""Triplet loss combined with a margin softmax, which improves training on few people."""

from __future__ import annotations

from torch import Tensor, nn

from model.losses.margin_softmax import MarginSoftmax
from model.losses.triplet import TripletLoss
from model.losses.value import LossValue


class TripletWithHead(nn.Module):
    """triplet + weight * margin softmax."""

    def __init__(self, triplet: TripletLoss, head: MarginSoftmax, weight: float) -> None:
        super().__init__()
        self.triplet = triplet
        self.head = head
        self.weight = weight

    def forward(self, unit: Tensor, labels: Tensor) -> LossValue:
        """The combined loss of unit rows [b, d] (float32) with labels [b]."""
        value: LossValue = self.triplet(unit, labels)
        return value._replace(total=value.total + self.weight * self.head(unit, labels).total)
