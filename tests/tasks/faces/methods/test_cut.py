from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from storage.records import Box
from tasks.faces.methods import CropSettings
from tasks.faces.methods.cut import Square, cut, square_around

SETTINGS = CropSettings()
RED, BLUE = (255, 0, 0), (0, 0, 255)


def pixels(jpeg: bytes) -> np.ndarray:
    return np.asarray(Image.open(BytesIO(jpeg))).astype(int)


def gradient(width: int, height: int) -> Image.Image:
    """Red grows with x and green with y, so that a pixel's colour tells where it was."""
    red, green = np.meshgrid(np.linspace(0, 255, width), np.linspace(0, 255, height))
    return Image.fromarray(np.stack([red, green, np.full_like(red, 128)], axis=2).astype(np.uint8))


def cropped(image: Image.Image, box: Box, settings: CropSettings = SETTINGS) -> tuple[Square, np.ndarray]:
    square = square_around(box, image.size, settings)
    return square, pixels(cut(image, square, settings))


def test_the_square_holds_the_longer_side_and_three_tenths_on_both_ends() -> None:
    assert square_around((100, 100, 150, 200), (600, 400), SETTINGS) == Square(45, 70, 160, 160)


def test_a_small_crop_is_the_pictures_own_pixels_and_never_enlarged() -> None:
    image = gradient(300, 200)
    square, crop = cropped(image, (100, 50, 150, 100))
    assert crop.shape == (80, 80, 3)
    assert square.scale == 1
    own = np.asarray(image.crop((square.left, square.top, square.left + 80, square.top + 80)))
    assert np.abs(crop - own).max() <= 3


def test_a_large_crop_is_shrunk_to_the_limit() -> None:
    square, crop = cropped(gradient(1600, 1200), (300, 300, 800, 900))
    assert (square.side_px, square.out_px) == (960, 256)
    assert crop.shape == (256, 256, 3)


# The square ends at the border, leaves it on one side, on all sides, and lies over a corner.
@pytest.mark.parametrize(
    "box", [(96, 96, 416, 416), (-100, 300, 400, 800), (-500, -500, 2500, 1900), (1300, 900, 1900, 1500)]
)
def test_marks_of_the_picture_lie_where_the_mapping_says(box: Box) -> None:
    image = gradient(1600, 1200)
    square, crop = cropped(image, box)
    for x in (30.0, 700.0, 1500.0):
        for y in (30.0, 600.0, 1100.0):
            u, v = square.points((x, y))
            if 1 < u < square.out_px - 2 and 1 < v < square.out_px - 2:
                # Pixel i spans [i, i + 1): the colour at u is read between the centres of its neighbours.
                assert crop[round(v - 0.5), round(u - 0.5), 0] == pytest.approx(x / 1600 * 255, abs=3)
                assert crop[round(v - 0.5), round(u - 0.5), 1] == pytest.approx(y / 1200 * 255, abs=3)


def test_a_box_and_its_corners_map_alike() -> None:
    square = Square(-10, 20, 512, 256)
    assert square.box((-10, 20, 502, 532)) == (0, 0, 256, 256)
    assert square.points((0, 30, 10, 40)) == (5, 5, 10, 10)


def test_a_square_over_the_border_repeats_border_pixels_and_stretches_nothing() -> None:
    image = Image.new("RGB", (200, 200), BLUE)
    image.paste(RED, (0, 0, 4, 200))
    square, crop = cropped(image, (-20, 60, 60, 140))
    assert crop.shape == (128, 128, 3)
    assert square.left == -44
    assert (crop[:, :40, 0] > 200).all()
    assert (crop[:, 52:, 2] > 200).all()


def test_a_circle_at_the_border_stays_round() -> None:
    image = Image.new("RGB", (400, 400), "black")
    yy, xx = np.mgrid[:400, :400]
    disc = ((xx - 60) ** 2 + (yy - 60) ** 2 <= 50**2)[..., None] * np.uint8(255)
    image = Image.fromarray(np.repeat(disc, 3, axis=2))
    _, crop = cropped(image, (0, 0, 120, 120), CropSettings(max_side_px=96))
    bright = crop[..., 0] > 127
    assert abs(int(bright.any(0).sum()) - int(bright.any(1).sum())) <= 1


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1), (8, 8), (300, 200)])
@pytest.mark.parametrize(
    "box", [(0, 0, 1, 1), (-3000, 0, 3000, 5000), (-900, -900, -800, -800), (9000, 9000, 9001, 9001)]
)
def test_any_box_in_any_picture_gives_a_square_crop(size: tuple[int, int], box: Box) -> None:
    image = Image.new("RGB", size, (10, 200, 30))
    square, crop = cropped(image, box)
    assert crop.shape == (square.out_px, square.out_px, 3)
    assert square.out_px <= 256
    assert np.abs(crop - (10, 200, 30)).max() <= 3


def test_a_huge_square_around_a_sliver_takes_little_memory() -> None:
    _, crop = cropped(Image.new("RGB", (2, 20_000), RED), (0, 0, 2, 20_000))
    assert crop.shape == (256, 256, 3)


def test_the_same_picture_gives_the_same_bytes_in_full_colour_resolution() -> None:
    image = gradient(700, 700)
    square = square_around((100, 100, 500, 500), image.size, SETTINGS)
    first = cut(image, square, SETTINGS)
    assert first == cut(image.copy(), square, SETTINGS)
    with Image.open(BytesIO(first)) as crop:
        assert isinstance(crop, JpegImageFile)
        assert crop.layer[0][1:3] == (1, 1)  # luma is sampled no finer than colour: 4:4:4
        assert set(crop.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}
