from __future__ import annotations

from typing import Any

import pytest
import torch
from facenet_pytorch import MTCNN

from tasks.faces.detectors.networks import centred, finished, proposed, refined

# A value is a sum of at most 1152 products in float32, whose rounding adds up to at most 1152 * 2**-24 of the summed
# magnitudes, here about 1. Measured: 2.3e-7 at most, with torch's instruction sets `default`, `avx2` and `avx512`.
CLOSE: dict[str, Any] = {"rtol": 0, "atol": 1152 * 2.0**-24}


@pytest.fixture(scope="module")
def nets() -> MTCNN:
    return MTCNN(device="cpu").eval().to(memory_format=torch.channels_last)


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0)).to(memory_format=torch.channels_last)


@torch.inference_mode()
def test_the_first_network_says_what_the_shipped_one_says(nets: MTCNN) -> None:
    sheet = noise(2, 3, 40, 62)
    shares, chances = nets.pnet(sheet)
    scores, ours = proposed(nets.pnet, sheet, torch.zeros(2, 1, 38, 60))
    torch.testing.assert_close(scores, chances[:, 1], **CLOSE)
    torch.testing.assert_close(ours, shares, **CLOSE)


@torch.inference_mode()
@pytest.mark.parametrize("num", [0, 1, 5])
def test_the_second_network_says_what_the_shipped_one_says(nets: MTCNN, num: int) -> None:
    crops = noise(5, 3, 24, 24)
    shares, chances = nets.rnet(crops)
    expected = torch.cat((chances[:, 1:], shares), dim=1)[:num]
    torch.testing.assert_close(refined(nets.rnet, crops[:num]), expected, **CLOSE)


@torch.inference_mode()
@pytest.mark.parametrize("num", [0, 1, 5])
def test_the_third_network_says_what_the_shipped_one_says(nets: MTCNN, num: int) -> None:
    crops = noise(5, 3, 48, 48)
    shares, points, chances = nets.onet(crops)
    expected = torch.cat((chances[:, 1:], shares, points), dim=1)[:num]
    torch.testing.assert_close(finished(nets.onet, crops[:num]), expected, **CLOSE)


def test_colours_are_centred_as_the_shipped_code_does() -> None:
    assert centred(torch.tensor([0.0, 127.5, 255.0])).tolist() == [-0.99609375, 0.0, 0.99609375]
