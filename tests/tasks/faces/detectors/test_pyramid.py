from __future__ import annotations

import numpy as np
import pytest

from tasks.faces.detectors.pyramid import pack, pyramids


def test_levels_shrink_by_the_factor_until_the_window_no_longer_fits() -> None:
    levels = pyramids([(400, 300)], [100], 0.709)
    assert levels.full_sizes.tolist() == [[300, 400]]
    assert levels.scales[0].tolist() == pytest.approx([0.12, 0.08508, 0.06032, 0.04277], abs=1e-5)
    assert levels.sizes[0].tolist() == [[37, 49], [26, 35], [19, 25], [13, 18]]


def test_a_small_picture_beside_a_large_one_has_levels_of_no_size() -> None:
    levels = pyramids([(400, 300), (150, 150), (90, 400)], [100] * 3, 0.709)
    assert levels.sizes[1].tolist() == [[19, 19], [13, 13], [0, 0], [0, 0]]
    assert levels.sizes[2].tolist() == [[0, 0]] * 4


def test_pictures_too_small_for_any_face_have_no_levels() -> None:
    assert pyramids([(99, 500), (8, 8)], [100, 100], 0.709).scales.shape == (2, 0)


@pytest.mark.parametrize("size", [(500, 400), (100, 2000), (2000, 100), (101, 101), (1999, 1501)])
def test_levels_lie_side_by_side_on_even_corners_and_leave_two_lines_free(size: tuple[int, int]) -> None:
    sizes = pyramids([size], [40], 0.709).sizes[0].tolist()
    canvas = pack(sizes)
    taken = np.zeros((canvas.height, canvas.width), int)
    for (top, left), (height, width) in zip(canvas.corners, sizes, strict=True):
        assert (top % 2, left % 2) == (0, 0)
        taken[top : top + height + height % 2, left : left + width + width % 2] += 1
    assert taken.max() == 1
    assert taken[-2:].sum() + taken[:, -2:].sum() == 0
    assert taken.sum() > 0.5 * taken.size
