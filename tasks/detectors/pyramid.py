"""The sizes at which the first network looks at a picture, and their places on one canvas. Plain arithmetic."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# The first network's window, in pixels of a level: the smallest wanted face is shrunk to it.
WINDOW_PX = 12


@dataclass(frozen=True, slots=True)
class Pyramids:
    """The levels of some pictures, the largest first; those a small picture has not are of size 0.

    `full_sizes` int64 [num_pictures, 2] are heights and widths of the pictures, `sizes` int64 [num_pictures,
    num_levels, 2] those of the levels, and `scales` float64 [num_pictures, num_levels] the one by the other.
    """

    full_sizes: NDArray[np.int64]
    sizes: NDArray[np.int64]
    scales: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Canvas:
    """A sheet of `height` x `width` a picture, with one place a level: all corners (top, left) are even."""

    height: int
    width: int
    corners: list[tuple[int, int]]


def pyramids(sizes: Sequence[tuple[int, int]], smallest_px: Sequence[float], factor: float) -> Pyramids:
    """The pyramids of pictures, by facenet-pytorch's arithmetic to the last bit.

    Args:
        sizes: widths and heights of the pictures.
        smallest_px: for each, the side of a face that fills the window on the largest level.
        factor: the step from one level to the next.
    """
    scales = [_scales(min(size), px, factor) for size, px in zip(sizes, smallest_px, strict=True)]
    table = np.zeros((len(sizes), max(map(len, scales))))
    for row, ones in zip(table, scales, strict=True):
        row[: len(ones)] = ones
    full = np.array(sizes)[:, ::-1]
    levels = (full[:, None] * table[..., None] + 1).astype(np.int64) * (table > 0)[..., None]
    return Pyramids(full, levels, table)


def _scales(shortest_px: float, smallest_px: float, factor: float) -> list[float]:
    scales, scale = [], WINDOW_PX / smallest_px
    shortest = shortest_px * scale
    while shortest >= WINDOW_PX:
        scales.append(scale)
        scale *= factor
        shortest *= factor
    return scales


def pack(sizes: Sequence[tuple[int, int]]) -> Canvas:
    """Lay levels of these heights and widths, tallest first, out on the canvas of least area among three widths.

    Corners are even, because the first network halves the canvas: a level must fall on the same pairs of pixels as
    it would alone. No gap is needed between levels: outputs whose window leaves their level are not read. The last
    two rows and columns are free, so that every level's own place has an output of the first 3x3 convolution.
    """
    widest = max(_even(width) for _, width in sizes)
    widths = [_even(int(share * widest)) for share in (1, 1.36, 1.71)]
    return min((_shelves(sizes, width) for width in widths), key=lambda canvas: canvas.height * canvas.width)


def _shelves(sizes: Sequence[tuple[int, int]], canvas_width: int) -> Canvas:
    corners = []
    top = left = shelf = 0
    for height, width in sizes:
        if left + _even(width) > canvas_width:
            top, left, shelf = top + shelf, 0, 0
        corners.append((top, left))
        left += _even(width)
        shelf = max(shelf, _even(height))
    return Canvas(top + shelf + 2, canvas_width + 2, corners)


def _even(number: int) -> int:
    return number + number % 2
