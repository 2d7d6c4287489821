from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn.functional import adaptive_avg_pool2d

from tasks.faces.detectors.integral_image import AreaTables
from tasks.faces.detectors.pyramid import bins

CPU = torch.device("cpu")


def noise(height: int, width: int) -> NDArray[np.uint8]:
    return np.random.default_rng(height * width).integers(0, 256, (height, width, 3), dtype=np.uint8)


def pooled(pixels: NDArray[np.uint8], height: int, width: int) -> torch.Tensor:
    """What facenet-pytorch feeds its networks: [height, width, 3]."""
    picture = torch.from_numpy(pixels).permute(2, 0, 1).float()
    return adaptive_avg_pool2d(picture, (height, width)).permute(1, 2, 0)


def shrunk(tables: AreaTables, picture: int, window: tuple[int, int, int, int], size: tuple[int, int]) -> torch.Tensor:
    left, top, right, bottom = window
    ends = [
        torch.from_numpy(bins(np.array([end - start]), num, np.arange(num)) + start).unsqueeze(1)
        for start, end, num in ((top, bottom, size[0]), (left, right, size[1]))
    ]
    return tables.means(tables.rows(torch.tensor([picture]), *ends[0]), tables.columns(*ends[1]))[0]


@pytest.mark.parametrize("size", [(72, 53), (13, 9), (300, 200), (400, 260)])
def test_a_shrunken_picture_is_the_pooled_one_to_the_bit(size: tuple[int, int]) -> None:
    pixels = noise(301, 203)
    assert torch.equal(shrunk(AreaTables([pixels], CPU), 0, (0, 0, 203, 301), size), pooled(pixels, *size))


@pytest.mark.parametrize("window", [(10, 20, 110, 121), (0, 0, 7, 9), (100, 150, 101, 151), (150, 0, 203, 301)])
def test_a_crop_is_the_pooled_one_to_the_bit_also_where_it_is_stretched(window: tuple[int, int, int, int]) -> None:
    pixels = noise(301, 203)
    left, top, right, bottom = window
    expected = pooled(pixels[top:bottom, left:right], 24, 24)
    assert torch.equal(shrunk(AreaTables([pixels], CPU), 0, window, (24, 24)), expected)


def test_pictures_of_other_sizes_beside_it_change_nothing() -> None:
    pictures = [noise(40, 90), noise(130, 50), noise(64, 64)]
    tables = AreaTables(pictures, CPU)
    for at, pixels in enumerate(pictures):
        height, width, _ = pixels.shape
        assert torch.equal(shrunk(tables, at, (0, 0, width, height), (12, 12)), pooled(pixels, 12, 12))


def test_sums_that_wrap_around_give_right_means() -> None:
    white = np.full((2900, 3000, 3), 255, np.uint8)
    tables = AreaTables([white], CPU)
    torch.testing.assert_close(shrunk(tables, 0, (0, 0, 3000, 2900), (3, 3)), torch.full((3, 3, 3), 255.0))
