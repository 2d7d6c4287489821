"""The interface of the cascade to the device with the pictures and networks. Small NumPy arrays are exchanged."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from tasks.faces.detectors.pyramid import Canvas, Pyramids

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]


class Windows(NamedTuple):
    """Outputs of the first network by picture, row and column [n], with their scores [n] and shares [n, 4]."""

    pictures: Integers
    rows: Integers
    columns: Integers
    scores: Floats
    shares: Floats


class PictureBatch(Protocol):
    """Some pictures as input of the networks. Windows are (left, top, right, bottom) in pixels, each in one picture."""

    def propose(self, levels: Pyramids, canvas: Canvas, threshold: float) -> Windows:
        """The outputs of the first network that reach the threshold, including windows across two levels."""

    def refine(self, pictures: Integers, pixels: Integers) -> Floats:
        """The second network on windows [n, 4]: scores and shares to move the edges by, [n, 5]."""

    def finish(self, pictures: Integers, pixels: Integers) -> Floats:
        """The third network on windows [n, 4]: scores, shares, five x and five y, [n, 15]."""


class Networks(Protocol):
    """The networks on a device, with its best batch size."""

    batch: int

    def load(self, pictures: list[NDArray[np.uint8]]) -> PictureBatch:
        """Load pictures [height, width, 3]."""
