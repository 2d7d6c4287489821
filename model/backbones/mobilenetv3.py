"""MobileNetV3-small as torchvision has it, with the head of an embedding."""

from __future__ import annotations

from torch import Tensor, nn
from torchvision.models import mobilenet_v3_small


class MobileNetV3Small(nn.Module):
    """MobileNetV3-small (Howard et al. 2019, arXiv 1905.02244): 1.0 M parameters at width 1 with 128 outputs.

    Its grid of `image_px / 32` cells a side is averaged, and a linear layer and a norm make the embedding.

    Args:
        embedding_dim: length of the output.
        width: factor on all channels but the output.
        image_px: side of the input; any will do.
    """

    def __init__(self, embedding_dim: int = 128, width: float = 1.0, image_px: int = 112) -> None:
        super().__init__()
        self.features = mobilenet_v3_small(width_mult=width).features
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.project = nn.Sequential(nn.Flatten(), nn.Linear(self.features[-1].out_channels, embedding_dim, bias=False))
        self.norm = nn.BatchNorm1d(embedding_dim)

    def forward(self, images: Tensor) -> Tensor:
        """Embeddings [n, embedding_dim], not yet of length one, of images [n, 3, px, px] in [-1, 1]."""
        embeddings: Tensor = self.norm(self.project(self.pool(self.features(images))))
        return embeddings
