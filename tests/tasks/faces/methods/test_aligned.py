"""The kept crop and its landmarks give the aligned 112x112 that training sees: the contract of the two rooms."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from model.embedding.align import TEMPLATE_112, affine_from_landmarks, warp
from tasks.faces.methods import CropSettings
from tasks.faces.methods.cut import cut, square_around

COLOURS = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (255, 0, 255)]


# A tilted face in the middle; one cut off by the picture's border; one so large that its crop is shrunk.
@pytest.mark.parametrize(
    ("scale", "angle", "centre"), [(1.5, 20, (300, 250)), (2.0, -15, (90, 130)), (5.0, 35, (620, 500))]
)
def test_the_landmarks_of_a_crop_are_laid_onto_the_template(
    scale: float, angle: float, centre: tuple[int, int]
) -> None:
    turn = scale * np.exp(1j * np.radians(angle))
    spread = (TEMPLATE_112 - TEMPLATE_112.mean(0)) @ [1, 1j] * turn + complex(*centre)
    points = np.stack([spread.real, spread.imag], 1)
    image = Image.new("RGB", (1240, 1000), "black")
    for (x, y), colour in zip(points, COLOURS, strict=True):
        radius = round(4 * scale)
        image.paste(colour, (round(x) - radius, round(y) - radius, round(x) + radius, round(y) + radius))
    low, high = points.min(0) - 25 * scale, points.max(0) + 25 * scale
    square = square_around((*low, *high), image.size, CropSettings())
    with Image.open(BytesIO(cut(image, square, CropSettings()))) as crop:
        aligned = warp(crop, affine_from_landmarks(square.points(tuple(points.ravel())), 112), 112)
    for at, colour in zip(TEMPLATE_112, COLOURS, strict=True):
        distance = np.abs(aligned.astype(int) - colour).sum(2)
        middle = np.argwhere(distance < 180).mean(0)[::-1] + 0.5
        assert np.abs(middle - at).max() < 1
