"""A face and its mirror image show one person: the mean of both embeddings is steadier than either."""

from __future__ import annotations

from torch import Tensor, nn

from model.config import TrainConfig


class Mirrored(nn.Module):
    """The mean of a backbone's outputs for a face and for its mirror image, at twice the cost."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, images: Tensor) -> Tensor:
        """Outputs [n, d] of images [n, 3, px, px]."""
        mean: Tensor = (self.backbone(images) + self.backbone(images.flip(3))) / 2
        return mean


def mirrored(backbone: nn.Module) -> nn.Module:
    """The backbone averaged with its mirror image; one that is averaged already as it is."""
    return backbone if isinstance(backbone, Mirrored) else Mirrored(backbone)


def as_judged(backbone: nn.Module, config: TrainConfig) -> nn.Module:
    """The backbone as it is judged, published and used; it is trained without its mirror image."""
    return mirrored(backbone) if config.mirror else backbone
