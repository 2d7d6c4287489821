"""The return value of losses."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor


class LossValue(NamedTuple):
    """A loss over one batch; all are scalars on the device of the batch.

    `triplet` is the triplet part, and `active_share` the share of mined triplets with a positive loss; both are None
    for a loss without triplets.
    """

    total: Tensor
    triplet: Tensor | None = None
    active_share: Tensor | None = None
