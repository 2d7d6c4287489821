"""MTCNN's first network over all levels of the pyramid at once, drawn on one canvas a picture."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from facenet_pytorch.models.mtcnn import PNet
from numpy.typing import NDArray
from torch import Tensor

from tasks.detectors.area import AreaTables, bins
from tasks.detectors.candidates import Candidates, best_of, moved, squared
from tasks.detectors.networks import centred, first_features, window_features
from tasks.detectors.pyramid import WINDOW_PX, Canvas, Pyramids, pack

# Cells of the network's output lie 2 pixels of a level apart.
_STRIDE_PX = 2
# Within a level the shipped code drops candidates that a better one overlaps by more.
_LEVEL_OVERLAP = 0.5


class Proposals:
    """Says which windows of which level may show a face: those whose score reaches `threshold`."""

    def __init__(self, network: PNet, threshold: float, overlap: float) -> None:
        weight = network.conv1.weight
        self._network, self._device, self._dtype = network, weight.device, weight.dtype
        self._threshold, self._overlap = threshold, overlap

    def __call__(self, tables: AreaTables, levels: Pyramids) -> Candidates:
        """Squares around those windows; none that a better one overlaps by more than `overlap`; best first."""
        canvas = pack(levels.sizes.max(axis=0).tolist())
        seen = self._features(self._draw(tables, levels, canvas), levels, canvas)
        found, shares, places = self._windows(seen, levels, canvas)
        best = best_of(found, found.pictures * len(canvas.corners) + places, _LEVEL_OVERLAP)
        found, shares = found.pick(best), shares[best]
        best = best_of(found, found.pictures, self._overlap)
        found, shares = found.pick(best), shares[best]
        return Candidates(squared(moved(found.boxes, shares, 0)), found.scores, found.pictures)

    def _draw(self, tables: AreaTables, levels: Pyramids, canvas: Canvas) -> Tensor:
        """All levels on their places, [num_pictures, 3, height, width]."""
        pictures = torch.arange(len(levels.sizes), device=self._device)
        heights, widths = levels.sizes.max(axis=0).T.tolist()
        rows = tables.rows(pictures, *self._here(_bins(levels, 0))).split(heights)
        columns = tables.columns(*self._here(_bins(levels, 1))).split(widths)
        sheet = torch.zeros(len(pictures), canvas.height, canvas.width, 3, device=self._device)
        for (top, left), down, across in zip(canvas.corners, rows, columns, strict=True):
            means = tables.means(down, across)
            sheet[:, top : top + means.shape[1], left : left + means.shape[2]] = means
        return centred(sheet).to(self._dtype).permute(0, 3, 1, 2)

    def _features(self, sheet: Tensor, levels: Pyramids, canvas: Canvas) -> Tensor:
        seen = first_features(self._network, sheet)
        edges = np.flatnonzero(_edges(levels, canvas, seen.shape[1], seen.shape[2]))
        seen.view(-1, seen.shape[3]).index_fill_(0, self._here(edges), -torch.inf)
        return window_features(self._network, seen)

    def _windows(self, seen: Tensor, levels: Pyramids, canvas: Canvas) -> tuple[Candidates, Tensor, Tensor]:
        """Windows as boxes in their pictures, shares to move their edges by, and their levels' numbers."""
        scores = self._network.conv4_1(seen).float().softmax(dim=1)[:, 1]
        owners = self._here(_owners(levels, canvas, scores.shape[1], scores.shape[2]))
        picture, row, column = ((scores >= self._threshold) & (owners >= 0)).nonzero().T
        level = owners[picture, row, column].long()
        features = seen[picture, :, row, column][:, :, None, None]
        shares = self._network.conv4_2(features)[:, :, 0, 0].float()
        scale = self._here(levels.scales.astype(np.float32))[picture, level].unsqueeze(1)
        left_top = self._here(np.array(canvas.corners)[:, ::-1].copy())[level]
        corner = torch.stack((column, row), dim=1) * _STRIDE_PX - left_top
        boxes = torch.cat((((corner + 1) / scale).floor(), ((corner + WINDOW_PX) / scale).floor()), dim=1)
        return Candidates(boxes, scores[picture, row, column], picture), shares, level

    def _here(self, array: NDArray[np.generic]) -> Tensor:
        return torch.from_numpy(array).to(self._device)


def _bins(levels: Pyramids, axis: int) -> NDArray[np.int64]:
    """The bins of all levels' rows (axis 0) or columns (1) side by side, [2, num_pictures, sum of largest sizes]."""
    full, sizes = levels.full_sizes[:, axis, None], levels.sizes[:, :, axis]
    largest = sizes.max(axis=0)
    positions = np.arange(largest.sum()) - np.repeat(largest.cumsum() - largest, largest)
    starts, ends = bins(full, np.repeat(np.maximum(sizes, 1), largest, axis=1), positions)
    # Beyond a smaller picture's level anything will do that lies in its table.
    return np.stack((np.minimum(starts, full - 1), np.minimum(ends, full)))


def _edges(levels: Pyramids, canvas: Canvas, height: int, width: int) -> NDArray[np.bool_]:
    """Where, after the first convolution, halving would join an odd level's last pixel with its neighbour's.

    It rounds up: the last pair of an odd level has one pixel only.
    """
    edges = np.zeros((len(levels.sizes), height, width), np.bool_)
    for picture, _, (top, left), (tall, wide) in _places(levels, canvas):
        edges[picture, top + tall - 2, left : left + wide] = True
        edges[picture, top : top + tall, left + wide - 2] = True
    return edges


def _owners(levels: Pyramids, canvas: Canvas, height: int, width: int) -> NDArray[np.int16]:
    """The number of the level that each output's window lies in, -1 if in none."""
    owners = np.full((len(levels.sizes), height, width), -1, np.int16)
    for picture, level, (top, left), (tall, wide) in _places(levels, canvas):
        owners[picture, top // 2 : top // 2 + _outputs(tall), left // 2 : left // 2 + _outputs(wide)] = level
    return owners


def _places(levels: Pyramids, canvas: Canvas) -> Iterator[tuple[int, int, tuple[int, int], tuple[int, int]]]:
    """Picture, level, corner and size of all levels there are."""
    for picture, sizes in enumerate(levels.sizes.tolist()):
        for level, (corner, (tall, wide)) in enumerate(zip(canvas.corners, sizes, strict=True)):
            if tall:
                yield picture, level, corner, (tall, wide)


def _outputs(pixels: int) -> int:
    """Cells of the network's output along a side: 3x3, halved and rounded up, 3x3, 3x3."""
    return (pixels - 1) // 2 - 4
