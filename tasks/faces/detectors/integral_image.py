"""Means over any rectangle of a picture in four look-ups: Crow's summed-area table (SIGGRAPH 1984).

The inputs of MTCNN's networks are such means: every level of the pyramid and every crop of a candidate is the picture
resized by `adaptive_avg_pool2d`. One pass over the pixels serves all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class Bins(NamedTuple):
    """Start and end of rectangles along one axis (in cells of the tables, int64), and their length in pixels."""

    starts: Tensor
    ends: Tensor
    lengths: Tensor

    def split(self, sizes: list[int]) -> list[Bins]:
        """Split along the last axis."""
        return [Bins(*parts) for parts in zip(*(torch.split(one, sizes, dim=-1) for one in self), strict=True)]


class AreaTables:
    """The summed-area tables of some pictures, stacked, one cell of three int32 a corner of a pixel.

    Sums may wrap around; differences of four are correct for rectangles of up to 8.4 million pixels.
    """

    def __init__(self, pictures: Sequence[NDArray[np.uint8]], device: torch.device) -> None:
        """Compute the tables of pictures of [height, width, 3]."""
        height, width = (max(picture.shape[axis] for picture in pictures) + 1 for axis in (0, 1))
        sums = torch.zeros(len(pictures), height, width, 3, dtype=torch.int32, device=device)
        for picture, into in zip(pictures, sums, strict=True):
            pixels = torch.tensor(picture, device=device)
            into[1 : len(picture) + 1, 1 : picture.shape[1] + 1] = pixels.cumsum(1, dtype=torch.int32).cumsum(
                0, dtype=torch.int32
            )
        self._cells, self._row_cells, self._picture_cells = sums.view(-1, 3), width, height * width

    def rows(self, pictures: Tensor, starts: Tensor, ends: Tensor) -> Bins:
        """Bins of pixel rows [n, m], each list in the picture of its number [n]."""
        first = (pictures * self._picture_cells).unsqueeze(1)
        return Bins(starts * self._row_cells + first, ends * self._row_cells + first, (ends - starts).float())

    def columns(self, starts: Tensor, ends: Tensor) -> Bins:
        """Bins of pixel columns [n, m]."""
        return Bins(starts, ends, (ends - starts).float())

    def means(self, rows: Bins, columns: Bins) -> Tensor:
        """The mean colours of n grids, each row's bins by each column's: float32 [n, height, width, 3]."""
        num, height, width = *rows.starts.shape, columns.starts.shape[1]
        edges = torch.cat(rows[:2], dim=1).unsqueeze(2) + torch.cat(columns[:2], dim=1).unsqueeze(1)
        # Twice as fast as indexing.
        sums = self._cells.index_select(0, edges.view(-1)).view(num, 2 * height, 2 * width, 3)
        sums = sums[:, height:] - sums[:, :height]
        means = (sums[:, :, width:] - sums[:, :, :width]).float()
        # Divided by height, then by width, as in adaptive_avg_pool2d: bitwise the same.
        means.flatten(2).div_(rows.lengths.unsqueeze(2))
        return means.div_(columns.lengths[:, None, :, None])
