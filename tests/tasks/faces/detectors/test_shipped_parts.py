"""Weights and suppression are those of the packages, which a process that detects does not import."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from facenet_pytorch import MTCNN
from torchvision.ops import nms as shipped_nms

from tasks.faces.detectors.shipped_parts import nms, weights


@pytest.mark.parametrize("net", ["pnet", "rnet", "onet"])
def test_weights_are_those_of_the_shipped_network(net: str) -> None:
    shipped = getattr(MTCNN(device="cpu"), net).state_dict()
    found = {
        f"{name}.{kind}": values for name, layer in weights(net).items() for kind, values in layer._asdict().items()
    }
    assert {name for name, values in found.items() if values.size} == set(shipped)
    assert all(np.array_equal(values.numpy(), found[name]) for name, values in shipped.items())
    # Sums of transposed arrays differ in their last bits, and so would the faces found.
    assert all(values.flags.c_contiguous for values in found.values())


def test_suppression_is_the_shipped_one() -> None:
    corners = torch.rand(200, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 50
    boxes, scores = torch.cat((corners, corners + 20), dim=1), torch.arange(200.0).to(torch.float64)
    assert torch.equal(nms(boxes, scores, 0.5), shipped_nms(boxes, scores, 0.5))


def test_a_process_that_detects_on_a_cpu_imports_neither_package() -> None:
    program = (
        "import sys; from tasks.faces.detectors import DetectorSettings, load_detector; from PIL import Image; "
        "load_detector(DetectorSettings()).find(Image.new('RGB', (200, 200))); "
        "print(sorted({'torchvision', 'facenet_pytorch'} & set(sys.modules)))"
    )
    assert subprocess.check_output([sys.executable, "-c", program], text=True) == "[]\n"
