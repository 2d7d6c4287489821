"""What the fast engine takes from facenet-pytorch and torchvision, without their imports of 1.8 CPU-s a process.

The files with MTCNN's weights are read by torch. torchvision's operations are a library, which its import loads too.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Floats = NDArray[np.float32]


class Layer(NamedTuple):
    """The parameters of a layer; a PReLU has no bias."""

    weight: Floats
    bias: Floats = np.zeros(0, np.float32)


def weights(net: str) -> dict[str, Layer]:
    """The layers of one of MTCNN's networks by name.

    Args:
        net: pnet, rnet or onet.
    """
    found: dict[str, Tensor] = torch.load(_folder("facenet_pytorch") / "data" / f"{net}.pt", weights_only=True)
    layers: dict[str, dict[str, Floats]] = {}
    for name, values in found.items():
        layer, _, parameter = name.rpartition(".")
        # As in the package's modules: NumPy adds up a transposed array in another order, to another last bit.
        layers.setdefault(layer, {})[parameter] = values.contiguous().numpy()
    return {layer: Layer(**parameters) for layer, parameters in layers.items()}


def nms(boxes: Tensor, scores: Tensor, iou: float) -> Tensor:
    """torchvision's non-maximum suppression: the rows kept, highest score first."""
    best: Tensor = torch.ops.torchvision.nms(boxes, scores, iou)
    return best


def _load_operations() -> None:
    """Load the library of torchvision; the package itself, if the library has another name than in versions so far."""
    libraries = [path for path in _folder("torchvision").glob("_C*.so") if path.is_file()]
    if len(libraries) == 1:
        torch.ops.load_library(libraries[0])  # type: ignore[no-untyped-call]
    if not hasattr(torch.ops.torchvision, "nms"):
        import torchvision  # noqa: F401, PLC0415


def _folder(package: str) -> Path:
    """The folder of an installed package, which is not imported."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"No module named {package!r}", name=package)
    return Path(spec.submodule_search_locations[0])


_load_operations()
