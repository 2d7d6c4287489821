"""Test-time augmentation by flipping: average the embeddings of a face and its mirror image, which reduces noise."""

from __future__ import annotations

from torch import Tensor, nn

from model.configuration.config import TrainConfig


class Mirrored(nn.Module):
    """The mean of a backbone's outputs for a face and its mirror image, at twice the cost."""

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, images: Tensor) -> Tensor:
        """Map images [n, 3, px, px] to outputs [n, d]."""
        mean: Tensor = (self.backbone(images) + self.backbone(images.flip(3))) / 2
        return mean


def mirrored(backbone: nn.Module) -> nn.Module:
    """Wrap a backbone in `Mirrored`, unless it is wrapped already."""
    return backbone if isinstance(backbone, Mirrored) else Mirrored(backbone)


def as_evaluated(backbone: nn.Module, config: TrainConfig) -> nn.Module:
    """The backbone as evaluated, published and used; it is trained without mirroring."""
    return mirrored(backbone) if config.mirror else backbone
