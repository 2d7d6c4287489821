"""torchvision's MobileNetV3-small with an embedding head."""

from __future__ import annotations

from torch import Tensor, nn
from torchvision.models import mobilenet_v3_small


class MobileNetV3Small(nn.Module):
    """MobileNetV3-small (Howard et al. 2019, arXiv 1905.02244): 1.0 M parameters at width 1 with 128 outputs.

    The feature map of `image_px / 32` cells per side is averaged, followed by a linear layer and a norm.

    Args:
        embedding_dim: length of the output.
        width: factor on all channels except the output.
        image_px: side of the input; any value.
    """

    def __init__(self, embedding_dim: int = 128, width: float = 1.0, image_px: int = 112) -> None:
        super().__init__()
        self.features = mobilenet_v3_small(width_mult=width).features
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.project = nn.Sequential(nn.Flatten(), nn.Linear(self.features[-1].out_channels, embedding_dim, bias=False))
        self.norm = nn.BatchNorm1d(embedding_dim)

    def forward(self, images: Tensor) -> Tensor:
        """Map images [n, 3, px, px] in [-1, 1] to embeddings [n, embedding_dim], not normalized."""
        embeddings: Tensor = self.norm(self.project(self.pool(self.features(images))))
        return embeddings
