"""The losses by name in `LOSSES`: (config, number of train identities) -> module.

A loss takes unit rows [b, d] in float32 and labels [b], on the same device or on the CPU, and returns a `LossValue`. To
add one: a file here, an entry in the dict and a test.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from torch import nn

from model.losses.combined import TripletWithHead
from model.losses.margin_softmax import MarginSoftmax
from model.losses.triplet import MINERS, TripletLoss
from model.losses.value import LossValue

if TYPE_CHECKING:
    from model.config import TrainConfig

__all__ = ["LOSSES", "MINERS", "LossValue"]


def _triplet(config: TrainConfig) -> TripletLoss:
    return TripletLoss(config.margin, config.mining)


def _head(config: TrainConfig, kind: str, num_identities: int) -> MarginSoftmax:
    return MarginSoftmax(num_identities, config.embedding_dim, kind, config.head_margin, config.head_scale)


LOSSES: dict[str, Callable[[TrainConfig, int], nn.Module]] = {
    "triplet": lambda config, _: _triplet(config),
    "cosface": lambda config, people: _head(config, "cosface", people),
    "arcface": lambda config, people: _head(config, "arcface", people),
    "triplet+cosface": lambda config, people: TripletWithHead(
        _triplet(config), _head(config, "cosface", people), config.head_weight
    ),
    "triplet+arcface": lambda config, people: TripletWithHead(
        _triplet(config), _head(config, "arcface", people), config.head_weight
    ),
}
