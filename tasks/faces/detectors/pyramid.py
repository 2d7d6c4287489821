"""The levels of the image pyramid for the first network, and their layout on one canvas. Plain arithmetic."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# The first network's window, in pixels of a level: the size of the smallest face on the largest level.
WINDOW_PX = 12
# The distance of its output cells, in pixels of a level.
STRIDE_PX = 2


@dataclass(frozen=True, slots=True)
class Pyramids:
    """The levels of some pictures, largest first; levels that a small picture lacks have size 0.

    `full_sizes` int64 [num_pictures, 2] are heights and widths of the pictures, `sizes` int64 [num_pictures,
    num_levels, 2] those of the levels, and `scales` float64 [num_pictures, num_levels] their ratios.
    """

    full_sizes: NDArray[np.int64]
    sizes: NDArray[np.int64]
    scales: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Canvas:
    """A canvas of `height` x `width` per picture, with one position per level: all corners (top, left) are even."""

    height: int
    width: int
    corners: list[tuple[int, int]]


def pyramids(sizes: Sequence[tuple[int, int]], smallest_px: Sequence[float], factor: float) -> Pyramids:
    """The pyramids of pictures, bitwise equal to facenet-pytorch's.

    Args:
        sizes: widths and heights of the pictures.
        smallest_px: for each, the side of the face that fills the window on the largest level.
        factor: the ratio of one level to the one before.
    """
    scales = [_scales(min(size), px, factor) for size, px in zip(sizes, smallest_px, strict=True)]
    table = np.zeros((len(sizes), max(map(len, scales))))
    for row, ones in zip(table, scales, strict=True):
        row[: len(ones)] = ones
    full = np.array(sizes)[:, ::-1]
    levels = (full[:, None] * table[..., None] + 1).astype(np.int64) * (table > 0)[..., None]
    return Pyramids(full, levels, table)


def bins(length: NDArray[np.int64], num: NDArray[np.int64] | int, positions: NDArray[np.int64]) -> NDArray[np.int64]:
    """Start and end (exclusive) of the pixels that each of `num` outputs averages out of `length`: [2, ...].

    As in adaptive pooling: every pixel touched counts fully, so neighbours may share one.
    """
    return np.stack((positions * length // num, ((positions + 1) * length + (num - 1)) // num))


def level_bins(levels: Pyramids, axis: int) -> NDArray[np.int64]:
    """The bins of all levels' rows (axis 0) or columns (1) side by side, [2, num_pictures, sum of largest sizes]."""
    full, sizes = levels.full_sizes[:, axis, None], levels.sizes[:, :, axis]
    largest = sizes.max(axis=0)
    positions = np.arange(largest.sum()) - np.repeat(largest.cumsum() - largest, largest)
    ends = bins(full, np.repeat(np.maximum(sizes, 1), largest, axis=1), positions)
    # Beyond the level of a smaller picture, any position inside the picture serves.
    return np.minimum(ends, np.stack((full - 1, full)))


def _scales(shortest_px: float, smallest_px: float, factor: float) -> list[float]:
    scales, scale = [], WINDOW_PX / smallest_px
    shortest = shortest_px * scale
    while shortest >= WINDOW_PX:
        scales.append(scale)
        scale *= factor
        shortest *= factor
    return scales


def pack(sizes: Sequence[tuple[int, int]]) -> Canvas:
    """Pack levels of these heights and widths, tallest first, on the smallest canvas of three widths.

    Corners are even, because the first network halves the canvas: a level must have the same pairs of pixels as
    alone. No gap is needed between levels: outputs with a window beyond their level are ignored. The last two rows
    and columns are free, so that the first 3x3 convolution has an output at every position of a level.
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


def edges(levels: Pyramids, canvas: Canvas) -> NDArray[np.float32]:
    """The values to add after the first convolution, [num_pictures, height - 2, width - 2]: -inf or 0.

    Halving rounds up: the last pair of an odd level has one pixel, and must not include that of the neighbour.
    """
    added = np.zeros((len(levels.sizes), canvas.height - 2, canvas.width - 2), np.float32)
    for picture, _, (top, left), (tall, wide) in _places(levels, canvas):
        added[picture, top + tall - 2, left : left + wide] = -np.inf
        added[picture, top : top + tall, left + wide - 2] = -np.inf
    return added


def owners(levels: Pyramids, canvas: Canvas) -> NDArray[np.int64]:
    """The level of each output's window, -1 if there is none."""
    numbers = np.full((len(levels.sizes), canvas.height // 2 - 5, canvas.width // 2 - 5), -1)
    for picture, level, (top, left), (tall, wide) in _places(levels, canvas):
        numbers[picture, top // 2 : top // 2 + _outputs(tall), left // 2 : left // 2 + _outputs(wide)] = level
    return numbers


def _places(levels: Pyramids, canvas: Canvas) -> Iterator[tuple[int, int, tuple[int, int], tuple[int, int]]]:
    """Picture, level, corner and size of all existing levels."""
    for picture, sizes in enumerate(levels.sizes.tolist()):
        for level, (corner, (tall, wide)) in enumerate(zip(canvas.corners, sizes, strict=True)):
            if tall:
                yield picture, level, corner, (tall, wide)


def _outputs(pixels: int) -> int:
    """The number of output cells along a side: 3x3, halved and rounded up, 3x3, 3x3."""
    return (pixels - 1) // 2 - 4


def _even(number: int) -> int:
    return number + number % 2
