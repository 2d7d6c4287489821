"""The backbones, networks that map a face to an embedding, by name in `BACKBONES`.

A backbone is constructed from (embedding_dim, width, image_px). It maps images [n, 3, px, px] in [-1, 1] to embeddings
[n, embedding_dim] that are not normalized. To add one: a file here, an entry in the dict and a test.
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
