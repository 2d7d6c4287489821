"""The networks that turn a face into an embedding, each by its name in `BACKBONES`.

A backbone is made by (embedding_dim, width, image_px), takes images [n, 3, px, px] in [-1, 1], and gives embeddings
[n, embedding_dim] that are not yet of length one. A new one is a file here, a line in the dict and a test.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from model.backbones.activations import ACTIVATIONS, set_activations
from model.backbones.mobilefacenet import MobileFaceNet
from model.backbones.mobilenetv3 import MobileNetV3Small

__all__ = ["ACTIVATIONS", "BACKBONES", "MobileFaceNet", "MobileNetV3Small", "set_activations"]

BACKBONES: dict[str, Callable[[int, float, int], nn.Module]] = {
    "mobilefacenet": MobileFaceNet,
    "mobilenetv3_small": MobileNetV3Small,
}
