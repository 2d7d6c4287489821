"""Boxes on their way through the cascade, and what MTCNN does to them between its networks.

Boxes count pixels from 1 and include the last, as the Matlab original's; see `in_picture` for ours. All formulas
are those of facenet-pytorch's `detect_face`, in its order, so that rounding falls the same way.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.ops import nms

# More than any box measures, candidates outside the picture included.
_APART_PX = 1 << 14


@dataclass(frozen=True, slots=True)
class Candidates:
    """Boxes [n, 4] float32 with scores [n] float32, each in a picture [n] int64."""

    boxes: Tensor
    scores: Tensor
    pictures: Tensor

    def __len__(self) -> int:
        return len(self.boxes)

    def pick(self, which: Tensor) -> Candidates:
        """Those named by a mask or by numbers."""
        return Candidates(self.boxes[which], self.scores[which], self.pictures[which])


def best_of(found: Candidates, groups: Tensor, iou: float) -> Tensor:
    """The numbers of those that no better one of their group overlaps by more than `iou`, best first."""
    # Groups are moved apart; in double, for in single the 500th group would be rounded to 1/8 pixel.
    best: Tensor = nms(found.boxes.double() + groups.unsqueeze(1) * _APART_PX, found.scores.double(), iou)
    return best


def best_of_nested(boxes: NDArray[np.float32], scores: NDArray[np.float32], overlap: float) -> list[int]:
    """As `best_of`, but overlap is measured by the smaller of the two boxes, so that a box inside another goes.

    Args:
        boxes: of one picture, [n, 4].
    """
    sides = boxes[:, 2:] - boxes[:, :2] + 1
    areas = sides[:, 0] * sides[:, 1]
    left, kept = np.argsort(scores), []
    while left.size:
        best, left = left[-1], left[:-1]
        kept.append(int(best))
        shared = np.minimum(boxes[left, 2:], boxes[best, 2:]) - np.maximum(boxes[left, :2], boxes[best, :2]) + 1
        both = np.maximum(shared, 0).prod(axis=1)
        left = left[both / np.minimum(areas[left], areas[best]) <= overlap]
    return kept


def moved(boxes: Tensor, by: Tensor, extra: int) -> Tensor:
    """Boxes whose four edges are moved by shares [n, 4] of their width and height, counted as `extra` px longer."""
    sides = boxes[:, 2:] - boxes[:, :2] + extra
    return boxes + by * sides.repeat(1, 2)


def squared(boxes: Tensor) -> Tensor:
    """The squares of the longer side around the same centres."""
    sides = boxes[:, 2:] - boxes[:, :2]
    longest = sides.amax(dim=1, keepdim=True)
    corner = boxes[:, :2] + sides * 0.5 - longest * 0.5
    return torch.cat((corner, corner + longest), dim=1)


def windows(boxes: Tensor, sizes: Tensor) -> tuple[Tensor, Tensor]:
    """Whole pixels of the boxes that lie in their pictures, and which boxes have any.

    Args:
        sizes: width and height of each box's picture, int64 [n, 2].

    Returns:
        (left, top, right, bottom) int64 [n, 4], counted from 0, right and bottom exclusive; a mask [n].
    """
    whole = boxes.trunc().long()
    start, end = whole[:, :2].clamp(min=1) - 1, torch.minimum(whole[:, 2:], sizes)
    return torch.cat((start, end), dim=1), (end > start).all(dim=1)
