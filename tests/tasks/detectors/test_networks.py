from __future__ import annotations

import pytest
import torch
from facenet_pytorch import MTCNN
from torch.nn.functional import max_pool2d

from tasks.detectors.networks import centred, finished, first_features, pooled, refined, window_features

CLOSE = {"rtol": 0, "atol": 1e-6}


@pytest.fixture(scope="module")
def nets() -> MTCNN:
    return MTCNN(device="cpu").eval().to(memory_format=torch.channels_last)


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0)).to(memory_format=torch.channels_last)


@torch.inference_mode()
@pytest.mark.parametrize("shape", [(1, 3, 12, 12), (2, 3, 40, 62)])
def test_the_first_network_says_what_the_shipped_one_says(nets: MTCNN, shape: tuple[int, ...]) -> None:
    net, sheet = nets.pnet, noise(*shape)
    seen = window_features(net, first_features(net, sheet))
    shares, chances = net(sheet)
    torch.testing.assert_close(net.conv4_2(seen), shares, **CLOSE)
    torch.testing.assert_close(net.conv4_1(seen).softmax(dim=1), chances, **CLOSE)


@torch.inference_mode()
@pytest.mark.parametrize("num", [0, 1, 5])
def test_the_second_network_says_what_the_shipped_one_says(nets: MTCNN, num: int) -> None:
    crops = noise(5, 3, 24, 24)
    shares, chances = nets.rnet(crops)
    scores, ours = refined(nets.rnet, crops[:num])
    torch.testing.assert_close(scores, chances[:num, 1], **CLOSE)
    torch.testing.assert_close(ours, shares[:num], **CLOSE)


@torch.inference_mode()
@pytest.mark.parametrize("num", [0, 1, 5])
def test_the_third_network_says_what_the_shipped_one_says(nets: MTCNN, num: int) -> None:
    crops = noise(5, 3, 48, 48)
    shares, points, chances = nets.onet(crops)
    scores, ours, marks = finished(nets.onet, crops[:num])
    torch.testing.assert_close(scores, chances[:num, 1], **CLOSE)
    torch.testing.assert_close(ours, shares[:num], **CLOSE)
    torch.testing.assert_close(marks, points[:num], **CLOSE)


@pytest.mark.parametrize("size", [(3, 3), (4, 5), (9, 22), (46, 21)])
def test_pooling_by_slices_is_max_pooling(size: tuple[int, int]) -> None:
    seen = noise(2, 4, *size)
    assert torch.equal(pooled(seen), max_pool2d(seen, 3, 2, ceil_mode=True))


def test_colours_are_centred_as_the_shipped_code_does() -> None:
    assert centred(torch.tensor([0.0, 127.5, 255.0])).tolist() == [-0.99609375, 0.0, 0.99609375]
