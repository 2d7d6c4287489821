"""Face alignment: map five landmarks to a fixed template, or crop the squared box."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

# The ArcFace template for 112 x 112 px: left eye, right eye, nose, left and right mouth corner, in image coordinates.
TEMPLATE_112 = np.array(
    [
        (38.2946, 51.6963),
        (73.5318, 51.5014),
        (56.0252, 71.7366),
        (41.5493, 92.3655),
        (70.7299, 92.2041),
    ]
)

# Pillow's affine coefficients (a, b, c, d, e, f): output pixel (x, y) is read at (ax + by + c, dx + ey + f).
Affine = tuple[float, float, float, float, float, float]


def affine_from_landmarks(landmarks: Sequence[float], image_px: int) -> Affine:
    """The similarity that maps five landmarks (ten numbers, pixels) to the template scaled to `image_px`.

    With points as complex numbers a similarity is z -> az + b, and least squares gives
    a = sum(conj(z') w') / sum(|z'|^2) over centred points (Umeyama 1991 without the reflected case).
    """
    points = np.asarray(landmarks, dtype=np.float64).reshape(5, 2)
    source = points[:, 0] + 1j * points[:, 1]
    target = (TEMPLATE_112[:, 0] + 1j * TEMPLATE_112[:, 1]) * (image_px / 112)
    centred = source - source.mean()
    forward = np.vdot(centred, target - target.mean()) / np.vdot(centred, centred)
    back = complex(1 / forward)
    offset = complex(source.mean() - back * target.mean())
    return back.real, -back.imag, offset.real, back.imag, back.real, offset.imag


def affine_from_box(box_xyxy: Sequence[float], image_px: int) -> Affine:
    """The shift and scale that map the box, squared around its centre by its longer side, to `image_px`."""
    left, top, right, bottom = box_xyxy
    side = max(right - left, bottom - top)
    scale = side / image_px
    return scale, 0.0, (left + right - side) / 2, 0.0, scale, (top + bottom - side) / 2


def face_square(
    jpeg: bytes, box_xyxy: Sequence[float], landmarks: Sequence[float] | None, image_px: int
) -> NDArray[np.uint8]:
    """The aligned face, a backbone's input: uint8 [image_px, image_px, 3] RGB.

    Its landmarks are mapped to the ArcFace template by a similarity transform. Without landmarks, the box is squared by
    its longer side and scaled to the output.

    Args:
        jpeg: the crop. Box and landmarks are in its pixels.

    Raises:
        OSError: the bytes cannot be decoded.
    """
    affine = affine_from_box(box_xyxy, image_px) if landmarks is None else affine_from_landmarks(landmarks, image_px)
    with Image.open(io.BytesIO(jpeg)) as image:
        return warp(image, affine, image_px)


def warp(image: Image.Image, affine: Affine, image_px: int) -> NDArray[np.uint8]:
    """Warp `image` by `affine`: uint8 [image_px, image_px, 3] RGB, black outside the image.

    Bilinear sampling skips pixels at scales below 1/2, so the image is reduced by averaging first.
    """
    shrink = int(np.hypot(affine[0], affine[3]))
    rgb = image.convert("RGB")
    if shrink >= 2:
        rgb = rgb.reduce(shrink)
        a, b, c, d, e, f = affine
        affine = (a / shrink, b / shrink, c / shrink, d / shrink, e / shrink, f / shrink)
    square = rgb.transform((image_px, image_px), Image.Transform.AFFINE, affine, Image.Resampling.BILINEAR)
    return np.asarray(square, dtype=np.uint8)
