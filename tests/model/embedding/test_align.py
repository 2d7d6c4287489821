import numpy as np
import pytest
from PIL import Image

from model.embedding.align import TEMPLATE_112, affine_from_box, affine_from_landmarks, warp


def read_at(affine: tuple[float, ...], points: np.ndarray) -> np.ndarray:
    a, b, c, d, e, f = affine
    return points @ np.array([[a, d], [b, e]]) + (c, f)


@pytest.mark.parametrize("image_px", [64, 112])
def test_turned_scaled_and_shifted_landmarks_land_on_the_template(image_px):
    turn = np.array([[0.8, 0.6], [-0.6, 0.8]]) * 1.7
    landmarks = TEMPLATE_112 @ turn + (30, -12)
    affine = affine_from_landmarks(landmarks.ravel().tolist(), image_px)
    assert np.allclose(read_at(affine, TEMPLATE_112 * image_px / 112), landmarks)


def test_no_other_similarity_fits_noisy_landmarks_better():
    rng = np.random.default_rng(0)
    landmarks = TEMPLATE_112 * 1.3 + rng.normal(0, 3, (5, 2))
    a, b, c, d, e, f = affine_from_landmarks(landmarks.ravel().tolist(), 112)
    inverse = np.linalg.inv(np.array([[a, b, c], [d, e, f], [0, 0, 1]]))

    def error(matrix: np.ndarray) -> float:
        placed = landmarks @ matrix[:2, :2].T + matrix[:2, 2]
        return float(((placed - TEMPLATE_112) ** 2).sum())

    for _ in range(200):
        p, q, x, y = rng.normal(0, 0.02, 4)
        other = np.array([[1 + p, -q, x], [q, 1 + p, y], [0, 0, 1]]) @ inverse
        assert error(other) >= error(inverse)


def test_a_wide_box_is_made_square_around_its_centre():
    affine = affine_from_box((10, 20, 50, 40), 20)
    corners = read_at(affine, np.array([(0.0, 0.0), (20.0, 20.0)]))
    assert corners.tolist() == [[10, 10], [50, 50]]


def test_beyond_the_picture_is_black():
    square = warp(Image.new("RGB", (20, 20), "white"), affine_from_box((-20, 0, 20, 40), 40), 40)
    assert square.shape == (40, 40, 3)
    assert square[10, 30].tolist() == [255, 255, 255]
    assert square[10, 5].tolist() == [0, 0, 0]


def test_shrinking_averages_instead_of_skipping_pixels():
    stripes = np.zeros((128, 128, 3), np.uint8)
    stripes[:, ::2] = 255
    square = warp(Image.fromarray(stripes), affine_from_box((0, 0, 128, 128), 32), 32)
    assert abs(int(square.min()) - 127) <= 1
    assert abs(int(square.max()) - 127) <= 1
