"""What the cascade asks of the device that holds pictures and networks. What goes between is NumPy, and small."""

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


class View(Protocol):
    """Some pictures as the networks see them. Windows of pixels are (left, top, right, bottom), each in a picture."""

    def propose(self, levels: Pyramids, canvas: Canvas, threshold: float) -> Windows:
        """The outputs of the first network that reach the threshold, those across two levels included."""

    def refine(self, pictures: Integers, pixels: Integers) -> Floats:
        """The second network on windows [n, 4]: scores and shares to move the edges by, [n, 5]."""

    def finish(self, pictures: Integers, pixels: Integers) -> Floats:
        """The third network on windows [n, 4]: scores, shares, five x and five y, [n, 15]."""


class Networks(Protocol):
    """The networks on a device, which looks at `batch` pictures best."""

    batch: int

    def view(self, pictures: list[NDArray[np.uint8]]) -> View:
        """A view of pictures [height, width, 3]."""
