from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from facenet_pytorch import MTCNN
from numpy.typing import NDArray
from onnx import ModelProto
from onnxruntime import InferenceSession

from tasks.faces.detectors.onnx_graphs import first_graph, second_graph, third_graph
from tasks.faces.detectors.shipped_parts import weights

# A value is a sum of at most 1152 products in float32, whose rounding adds up to at most 1152 * 2**-24 of the summed
# magnitudes, here about 1. Measured: 3.2e-7 at most, with torch's instruction sets `default`, `avx2` and `avx512`.
CLOSE: dict[str, Any] = {"rtol": 0, "atol": 1152 * 2.0**-24}


@pytest.fixture(scope="module")
def nets() -> MTCNN:
    return MTCNN(device="cpu").eval()


def colours(*shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(sum(shape)).uniform(0, 255, (*shape, 3)).astype(np.float32)


def answer(model: ModelProto, seen: NDArray[np.float32], **more: NDArray[np.float32]) -> torch.Tensor:
    session = InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return torch.from_numpy(session.run(None, {"colours": seen, **more})[0])


def centred(seen: NDArray[np.float32]) -> torch.Tensor:
    return (torch.from_numpy(seen).permute(0, 3, 1, 2) - 127.5) / 128


@torch.inference_mode()
@pytest.mark.parametrize("size", [(12, 12), (40, 62)])
def test_the_first_network_says_what_the_shipped_one_says(nets: MTCNN, size: tuple[int, int]) -> None:
    seen = colours(2, *size)
    said = answer(first_graph(weights("pnet")), seen, edges=np.zeros((2, 1, size[0] - 2, size[1] - 2), np.float32))
    shares, chances = nets.pnet(centred(seen))
    torch.testing.assert_close(said[:, 0].sigmoid(), chances[:, 1], **CLOSE)
    torch.testing.assert_close(said[:, 1:], shares, **CLOSE)


@torch.inference_mode()
def test_what_lies_beyond_an_edge_is_not_seen(nets: MTCNN) -> None:
    alone, beside = colours(1, 13, 13), colours(1, 14, 14)
    beside[:, :13, :13] = alone
    edges = np.zeros((1, 1, 12, 12), np.float32)
    edges[..., 11, :] = edges[..., 11] = -np.inf
    shares, _ = nets.pnet(centred(alone))
    torch.testing.assert_close(answer(first_graph(weights("pnet")), beside, edges=edges)[:, 1:], shares, **CLOSE)


@torch.inference_mode()
@pytest.mark.parametrize("num", [0, 1, 5])
def test_the_second_network_says_what_the_shipped_one_says(nets: MTCNN, num: int) -> None:
    seen = colours(5, 24, 24)
    said = answer(second_graph(weights("rnet")), seen[:num])
    shares, chances = nets.rnet(centred(seen))
    torch.testing.assert_close(said[:, 0].sigmoid(), chances[:num, 1], **CLOSE)
    torch.testing.assert_close(said[:, 1:], shares[:num], **CLOSE)


@torch.inference_mode()
@pytest.mark.parametrize("num", [0, 1, 5])
def test_the_third_network_says_what_the_shipped_one_says(nets: MTCNN, num: int) -> None:
    seen = colours(5, 48, 48)
    said = answer(third_graph(weights("onet")), seen[:num])
    shares, points, chances = nets.onet(centred(seen))
    torch.testing.assert_close(said[:, 0].sigmoid(), chances[:num, 1], **CLOSE)
    torch.testing.assert_close(said[:, 1:], torch.cat((shares, points), dim=1)[:num], **CLOSE)
