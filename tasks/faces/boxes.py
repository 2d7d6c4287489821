"""Arithmetic on boxes: (left, top, right, bottom), right and bottom exclusive."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from storage.records import Box


def iou(one: Box, other: Box) -> float:
    """Intersection over union of two boxes."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    inner = width * height
    areas = (one[2] - one[0]) * (one[3] - one[1]) + (other[2] - other[0]) * (other[3] - other[1])
    return inner / (areas - inner)


def ious(boxes: npt.NDArray[np.float64], others: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Intersection over union of each box [n, 4] with each of the others [m, 4]; NaN with a box of NaN; [n, m]."""
    inner = np.ones((len(boxes), len(others)))
    for low, high in ((0, 2), (1, 3)):
        side = np.minimum(boxes[:, None, high], others[:, high]) - np.maximum(boxes[:, None, low], others[:, low])
        inner *= np.maximum(side, 0.0)
    areas = [(some[:, 2] - some[:, 0]) * (some[:, 3] - some[:, 1]) for some in (boxes, others)]
    with np.errstate(invalid="ignore"):
        return np.where(inner == 0, 0.0, inner / (areas[0][:, None] + areas[1] - inner))


def share_inside(box: Box, width: int, height: int) -> float:
    """The share of the box's area that lies in a picture of this size; 0 for an empty box."""
    left, top, right, bottom = box
    area = (right - left) * (bottom - top)
    inside = max(0.0, min(right, width) - max(left, 0)) * max(0.0, min(bottom, height) - max(top, 0))
    return inside / area if area > 0 else 0.0
