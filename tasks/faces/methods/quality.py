"""Measure the image quality of a face: computed once, stored as columns, and applied later by `select`."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

from storage.records import Box

# Sharpness is measured at one size, that of the networks' input.
_SHARP_PX = 112
# The distance of the nose tip in front of the line of the eyes, in eye distances: about 27 mm of 63 mm.
_NOSE_DEPTH = 0.43


def sharpness(image: Image.Image, box: Box) -> float | None:
    """The variance of the Laplacian of the box's grey values at 112x112 px (Pech-Pacheco et al. 2000, ICPR).

    Low values mean blur; noise and JPEG blocks raise it as detail does. Smaller faces are enlarged to 112 px, which
    lowers the value. On 823 faces of web photographs, of 100 px and more, p1/p5/p50/p95 are 97/178/452/938
    (`bench.boxes`).

    Args:
        image: mode RGB.

    Returns:
        None if the box does not overlap the picture.
    """
    left, top, right, bottom = box
    shown = (max(left, 0.0), max(top, 0.0), min(right, image.width), min(bottom, image.height))
    if shown[2] <= shown[0] or shown[3] <= shown[1]:
        return None
    face = image.resize((_SHARP_PX, _SHARP_PX), Image.Resampling.BILINEAR, box=shown, reducing_gap=2.0)
    grey = np.asarray(face.convert("L"), dtype=np.float32)
    around = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
    return float((around - 4 * grey[1:-1, 1:-1]).var())


def roll_deg(landmarks: tuple[float, ...]) -> float:
    """The angle of the line from the left to the right eye as displayed, in degrees; positive is clockwise."""
    x1, y1, x2, y2 = landmarks[:4]
    return math.degrees(math.atan2(y2 - y1, x2 - x1))


def yaw_deg(landmarks: tuple[float, ...]) -> float:
    """The yaw of the head, in degrees; positive if the nose points to the right of the picture.

    With eyes at (+-e/2, 0) and the nose d in front of them, a rotation by t in parallel projection puts the eyes
    e cos(t) apart and the nose d sin(t) off their middle, so tan(t) = (off / apart) / (d / e). An estimate, since d / e
    is an average.
    """
    x1, y1, x2, y2, nose_x, nose_y = landmarks[:6]
    apart = math.hypot(x2 - x1, y2 - y1)
    along = (nose_x - (x1 + x2) / 2) * (x2 - x1) + (nose_y - (y1 + y2) / 2) * (y2 - y1)
    # Both sides of the fraction have a factor `apart`, which avoids a division by zero for eyes in one point.
    return math.degrees(math.atan2(along, _NOSE_DEPTH * apart * apart))
