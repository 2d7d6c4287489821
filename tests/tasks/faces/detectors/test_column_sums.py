from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn.functional import adaptive_avg_pool2d

from tasks.faces.detectors.column_sums import MOST_ROWS, ColumnSums, across
from tasks.faces.detectors.pyramid import bins


def noise(height: int, width: int) -> NDArray[np.uint8]:
    return np.random.default_rng(height * width).integers(0, 256, (height, width, 3), dtype=np.uint8)


def shrunk(pixels: NDArray[np.uint8], window: tuple[int, int, int, int], size: tuple[int, int]) -> NDArray[np.float32]:
    left, top, right, bottom = window
    rows, columns = (
        bins(np.array(bottom - top), size[0], np.arange(size[0])),
        bins(np.array(right - left), size[1], np.arange(size[1])),
    )
    sums = np.empty((*size, 3), np.float32)
    across(ColumnSums(pixels).bands(rows + top, left, right), columns, sums)
    return sums / ((rows[1] - rows[0])[:, None] * (columns[1] - columns[0]))[..., None].astype(np.float32)


@pytest.mark.parametrize("window", [(0, 0, 203, 301), (10, 20, 110, 121), (0, 0, 7, 9), (100, 150, 101, 151)])
@pytest.mark.parametrize("size", [(24, 24), (48, 48), (12, 9)])
def test_means_are_those_of_adaptive_pooling(window: tuple[int, int, int, int], size: tuple[int, int]) -> None:
    pixels = noise(301, 203)
    left, top, right, bottom = window
    picture = torch.from_numpy(pixels[top:bottom, left:right]).permute(2, 0, 1).double()
    pooled = adaptive_avg_pool2d(picture, size).permute(1, 2, 0)
    np.testing.assert_allclose(shrunk(pixels, window, size), pooled, rtol=1e-6)


def test_sums_that_wrap_around_give_right_means_in_the_tallest_bands() -> None:
    white = np.full((12 * MOST_ROWS, 20, 3), 255, np.uint8)
    assert (shrunk(white, (0, 0, 20, len(white)), (12, 2)) == 255).all()
