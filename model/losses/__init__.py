"""The losses by name in `LOSSES`: (config, number of train identities) -> module.

A loss takes unit rows [b, d] in float32 and labels [b], on the same device or on the CPU, and returns a `LossValue`. To
add one: a file here, an entry in the dict and a test.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from torch import nn

from model.losses.combined import TripletWithHead
from model.losses.margin_softmax import MarginSoftmax
from model.losses.triplet import MINERS, TripletLoss
from model.losses.value import LossValue

__all__ = ["LOSSES", "MINERS", "LossSettings", "LossValue"]


class LossSettings(Protocol):
    """What the losses need of a `TrainConfig`, which explains each."""

    @property
    def embedding_dim(self) -> int: ...  # noqa: D102
    @property
    def margin(self) -> float: ...  # noqa: D102
    @property
    def mining(self) -> str: ...  # noqa: D102
    @property
    def head_margin(self) -> float: ...  # noqa: D102
    @property
    def head_scale(self) -> float: ...  # noqa: D102
    @property
    def head_weight(self) -> float: ...  # noqa: D102


def _triplet(config: LossSettings) -> TripletLoss:
    return TripletLoss(config.margin, config.mining)


def _head(config: LossSettings, kind: str, num_identities: int) -> MarginSoftmax:
    return MarginSoftmax(num_identities, config.embedding_dim, kind, config.head_margin, config.head_scale)


LOSSES: dict[str, Callable[[LossSettings, int], nn.Module]] = {
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
