"""Means over rectangles of a picture on a CPU, from cumulative sums down its columns.

The inputs of MTCNN's networks are such means: every level of the pyramid and every crop of a candidate is the picture
resized by `adaptive_avg_pool2d`. Each row of a level or crop is the difference of two rows of sums, then summed across:
a third of the work of a full summed-area table (`integral_image`), which is faster on a GPU.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray

Integers = NDArray[np.int64]

# Sums are uint16 and wrap around: the difference of two rows is correct up to 257 rows of 255. The tallest bin, that of
# the coarsest level, is a twelfth of the picture.
MOST_ROWS = 257


class ColumnSums:
    """For every pixel the sum of the pixels above it, [height + 1, width * 3] uint16."""

    def __init__(self, pixels: NDArray[np.uint8]) -> None:
        """Compute the sums of a picture of [height, width, 3]."""
        height, width, _ = pixels.shape
        self._sums = np.empty((height + 1, width * 3), np.uint16)
        self._sums[0] = 0
        self._sums[1:] = pixels.reshape(height, -1)
        for above, row in pairwise(list(self._sums)):
            np.add(row, above, row)

    def bands(self, ends: Integers, left: int, right: int) -> NDArray[np.int32]:
        """Cumulative sums across columns `left` to `right` of the pixels in some bands of rows: [n, columns + 1, 3].

        Args:
            ends: where the bands start and, at most `MOST_ROWS` later, end: [2, n].
        """
        starts, stops = self._sums[:, 3 * left : 3 * right][ends]
        stops -= starts
        sums = np.zeros((len(stops), right - left + 1, 3), np.int32)
        sums[:, 1:] = stops.reshape(len(stops), -1, 3)
        summed = torch.from_numpy(sums)
        # A third of the time of NumPy's.
        torch.cumsum(summed, 1, out=summed)
        return sums


def across(bands: NDArray[np.int32], ends: Integers, into: NDArray[np.float32]) -> None:
    """Write the sums of each band's bins of columns [2, m] into [n, m, 3]. Whole numbers below 2^24, so exact."""
    starts, stops = ends
    np.subtract(bands.take(stops, axis=1), bands.take(starts, axis=1), out=into, casting="unsafe")
