"""What is measured of a face, on drawn pictures and invented heads."""

from __future__ import annotations

import math

import numpy as np
import pytest
from PIL import Image, ImageFilter

from tasks.faces.methods.quality import roll_deg, sharpness, yaw_deg

FRONTAL = (-30.0, 0.0, 30.0, 0.0, 0.0, 30.0, -20.0, 60.0, 20.0, 60.0)


def turned(landmarks: tuple[float, ...], degrees: float) -> tuple[float, ...]:
    """The points turned clockwise as seen, y pointing down."""
    points = np.array(landmarks).reshape(5, 2) @ [1, 1j] * np.exp(1j * math.radians(degrees))
    return tuple(np.stack([points.real, points.imag], 1).ravel().tolist())


def head(yaw: float) -> tuple[float, ...]:
    """A head of average shape turned about its vertical axis, seen from far away."""
    eye, nose = 31.5 * math.cos(math.radians(yaw)), 27 * math.sin(math.radians(yaw))
    return (-eye, 0.0, eye, 0.0, nose, 30.0, -20.0, 60.0, 20.0, 60.0)


@pytest.mark.parametrize("angle", [-150, -30, 0, 12.5, 90])
def test_roll_is_the_angle_of_the_line_of_the_eyes(angle: float) -> None:
    assert roll_deg(turned(FRONTAL, angle)) == pytest.approx(angle)


@pytest.mark.parametrize("angle", [-60, -20, 0, 20, 45, 80])
def test_yaw_is_that_of_an_average_head_whatever_its_roll(angle: float) -> None:
    for roll in (0, 25, -90):
        assert yaw_deg(turned(head(angle), roll)) == pytest.approx(angle, abs=0.5)


def test_landmarks_in_one_point_give_a_number() -> None:
    assert math.isfinite(yaw_deg((5.0,) * 10))
    assert math.isfinite(roll_deg((5.0,) * 10))


def test_a_blurred_face_is_less_sharp_at_every_size() -> None:
    noise = Image.effect_noise((400, 400), 60).convert("RGB")
    for size in (112, 200, 400):
        box = (0, 0, size, size)
        values = [sharpness(noise.filter(ImageFilter.GaussianBlur(size * share)), box) for share in (0, 0.01, 0.03)]
        sharp, soft, blurred = (value or 0.0 for value in values)
        assert sharp > soft > blurred
        assert blurred < sharp / 10


def test_the_variance_of_a_chessboard_of_single_pixels_is_known() -> None:
    # Each pixel differs from its four neighbours by 255: the Laplacian is +-1020.
    board = (np.indices((112, 112)).sum(0) % 2 * 255).astype(np.uint8)
    assert sharpness(Image.fromarray(board).convert("RGB"), (0, 0, 112, 112)) == pytest.approx(1020**2)


def test_only_the_part_of_the_box_in_the_picture_is_measured() -> None:
    noise = Image.effect_noise((200, 200), 60).convert("RGB")
    assert sharpness(noise, (-100, -100, 100, 100)) == sharpness(noise, (0, 0, 100, 100))
    assert sharpness(noise, (300, 300, 400, 400)) is None
    assert sharpness(Image.new("RGB", (50, 50), "teal"), (0, 0, 50, 50)) == 0
