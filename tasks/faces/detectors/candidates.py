"""The candidate boxes of the cascade, and MTCNN's operations on them between its networks.

Boxes count pixels from 1 and include the last, as in the Matlab original; `in_picture` converts them. All formulas are
those of facenet-pytorch's `detect_face`, in the same order, which gives the same rounding. The arrays are small, and
NumPy's overhead is a fifth of torch's, so candidates found on a GPU are processed here too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from tasks.faces.detectors.shipped_parts import nms

Floats = NDArray[np.float32]
Integers = NDArray[np.int64]

# Larger than any box, including candidates outside the picture.
_APART_PX = 1 << 14


@dataclass(frozen=True, slots=True)
class Candidates:
    """Boxes [n, 4] with scores [n], each in a picture [n]."""

    boxes: Floats
    scores: Floats
    pictures: Integers

    def __len__(self) -> int:
        return len(self.boxes)

    def pick(self, which: NDArray[np.generic]) -> Candidates:
        """The candidates selected by a mask or by row numbers."""
        return Candidates(self.boxes[which], self.scores[which], self.pictures[which])

    def joined(self, other: Candidates) -> Candidates:
        """These candidates, followed by the others."""
        return Candidates(
            np.concatenate((self.boxes, other.boxes)),
            np.concatenate((self.scores, other.scores)),
            np.concatenate((self.pictures, other.pictures)),
        )


def overlapped(some: Candidates, by: Candidates, iou: float) -> NDArray[np.bool_]:
    """A mask of the boxes that overlap one of the others in the same picture by more than `iou`."""
    ours, theirs = some.boxes[:, None], by.boxes[None]
    shared = np.minimum(ours[..., 2:], theirs[..., 2:]) - np.maximum(ours[..., :2], theirs[..., :2])
    both = np.maximum(shared, 0).prod(axis=2)
    area, areas = ((one[..., 2:] - one[..., :2]).prod(axis=2) for one in (ours, theirs))
    same = some.pictures[:, None] == by.pictures
    found: NDArray[np.bool_] = (same & (both > iou * (area + areas - both))).any(axis=1)
    return found


def best_of(found: Candidates, groups: Integers, iou: float) -> Integers:
    """Non-maximum suppression per group: the rows kept, highest score first."""
    # Groups are shifted apart, in float64: in float32 the 500th group would be rounded to 1/8 pixel.
    boxes, scores = found.boxes + groups[:, None] * float(_APART_PX), found.scores.astype(np.float64)
    best: Integers = nms(torch.from_numpy(boxes), torch.from_numpy(scores), iou).numpy()
    return best


def best_of_nested(boxes: Floats, scores: Floats, overlap: float) -> list[int]:
    """As `best_of`, with the overlap relative to the smaller box: a box inside another is removed.

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


def moved(boxes: Floats, by: Floats, extra: int) -> Floats:
    """Boxes with their edges moved by shares [n, 4] of width and height, which count as `extra` px longer."""
    sides = boxes[:, 2:] - boxes[:, :2] + np.float32(extra)
    result: Floats = boxes + by * sides[:, [0, 1, 0, 1]]
    return result


def squared(boxes: Floats) -> Floats:
    """The squares of the longer side around the same centres."""
    sides = boxes[:, 2:] - boxes[:, :2]
    longest = sides.max(axis=1, keepdims=True)
    corner = boxes[:, :2] + sides * np.float32(0.5) - longest * np.float32(0.5)
    return np.concatenate((corner, corner + longest), axis=1)


def windows(boxes: Floats, sizes: Integers) -> tuple[Integers, NDArray[np.bool_]]:
    """The boxes in whole pixels, clipped to their pictures, and a mask of the non-empty ones.

    Args:
        sizes: width and height of each box's picture, [n, 2].

    Returns:
        (left, top, right, bottom) [n, 4], counted from 0, right and bottom exclusive; a mask [n].
    """
    whole = boxes.astype(np.int64)
    pixels = np.concatenate((np.maximum(whole[:, :2], 1) - 1, np.minimum(whole[:, 2:], sizes)), axis=1)
    return pixels, np.all(pixels[:, 2:] > pixels[:, :2], axis=1)
