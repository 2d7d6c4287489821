"""Projection from head units to pixels for a rotated and scaled head."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Points = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Pose:
    """Pose of a head: the point between the eyes in pixels, pixels per head unit, angles in radians.

    yaw > 0 turns the face to the right of the picture, pitch > 0 raises it, roll > 0 tilts it clockwise.
    """

    x: float
    y: float
    unit_px: float
    yaw: float
    pitch: float
    roll: float

    def face(self, points: ArrayLike, lift: float = 0.0) -> Points:
        """Pixels of points (n, 2) on the front of the face; `lift` is their distance from it."""
        flat = np.asarray(points, float).reshape(-1, 2)
        depth = front_depth(flat[:, 0], flat[:, 1]) + lift
        x = flat[:, 0] * np.cos(self.yaw) + depth * np.sin(self.yaw)
        y = flat[:, 1] * np.cos(self.pitch) - depth * np.sin(self.pitch)
        return self._place(x, y, self.roll)

    def outline(self, points: ArrayLike) -> Points:
        """Pixels of points (n, 2) on the outline of the head, which hardly moves in yaw, unlike the chin."""
        flat = np.asarray(points, float).reshape(-1, 2)
        forward = np.clip(flat[:, 1] / 1.5, 0.0, 1.0) * 0.42
        x = flat[:, 0] * (1.0 - 0.06 * abs(np.sin(self.yaw))) + forward * np.sin(self.yaw)
        y = flat[:, 1] - forward * np.sin(self.pitch)
        return self._place(x, y, self.roll)

    def body(self, points: ArrayLike) -> Points:
        """Pixels of points (n, 2) on the shoulders, which tilt a third as much as the head."""
        flat = np.asarray(points, float).reshape(-1, 2)
        return self._place(flat[:, 0], flat[:, 1], self.roll / 3)

    def grid(self, columns: Points, rows: Points) -> tuple[Points, Points]:
        """Head units (x, y) of the pixels at `columns` x `rows`: the inverse of `outline` without yaw and pitch."""
        dx = (columns[None, :] - self.x) / self.unit_px
        dy = (rows[:, None] - self.y) / self.unit_px
        cos, sin = np.cos(self.roll), np.sin(self.roll)
        return dx * cos + dy * sin, dy * cos - dx * sin

    def _place(self, x: Points, y: Points, roll: float) -> Points:
        cos, sin = np.cos(roll), np.sin(roll)
        return np.stack(
            [self.x + (x * cos - y * sin) * self.unit_px, self.y + (x * sin + y * cos) * self.unit_px], axis=1
        )


def front_depth(x: Points, y: Points) -> Points:
    """Depth of the front of the head relative to its centre: an ellipsoid with half axes 1.2, 1.8 and 0.95."""
    room = 1.0 - (x / 1.2) ** 2 - ((y - 0.2) / 1.8) ** 2
    return 0.95 * np.sqrt(np.clip(room, 0.04, None))


def smooth(points: ArrayLike, *, closed: bool = True, steps: int = 6) -> Points:
    """A curve (m, 2) through control points (n, 2): a Catmull-Rom spline with `steps` points per segment."""
    flat = np.asarray(points, float).reshape(-1, 2)
    around = np.concatenate([flat[-1:], flat, flat[:2]] if closed else [flat[:1], flat, flat[-1:]])
    p0, p1, p2, p3 = around[:-3], around[1:-2], around[2:-1], around[3:]
    t = (np.arange(steps) / steps)[None, :, None]
    p0, p1, p2, p3 = (p[:, None, :] for p in (p0, p1, p2, p3))
    curve = 0.5 * (2 * p1 + (p2 - p0) * t + (2 * p0 - 5 * p1 + 4 * p2 - p3) * t**2 + (3 * p1 - p0 - 3 * p2 + p3) * t**3)
    curve = curve.reshape(-1, 2)
    return curve if closed else np.concatenate([curve, flat[-1:]])


def mirrored(right_half: ArrayLike) -> Points:
    """The closed control polygon of a symmetric shape from its right half, top to bottom, ends on the axis."""
    half = np.asarray(right_half, float).reshape(-1, 2)
    left = half[-2:0:-1] * [-1, 1]
    return np.concatenate([half, left])


def ellipse(x: float, y: float, rx: float, ry: float, *, num: int = 20) -> Points:
    """Points (num, 2) around an ellipse."""
    angle = np.linspace(0, 2 * np.pi, num, endpoint=False)
    return np.stack([x + rx * np.cos(angle), y + ry * np.sin(angle)], axis=1)
