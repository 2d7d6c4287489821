"""Backbone and loss as one module, from the uint8 faces of a step to its loss."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

from model.configuration.config import TrainConfig
from model.devices.distributed import gathered, num_ranks
from model.embedding.augment import Augmentation, augment
from model.losses import LossValue


class Learner(nn.Module):
    """Augment, embed, gather the embeddings of all processes, and compute the loss over them.

    With `torch.compile` the augmentation and the network become one graph that fuses the memory-bound operations:
    norms, activations, the warp and the brightness.
    """

    def __init__(self, backbone: nn.Module, loss: nn.Module, *, bfloat16: bool, compiles: bool) -> None:
        super().__init__()
        self.backbone = backbone
        self.loss = loss
        self._bfloat16 = bfloat16
        self._run = torch.compile(self._embed, dynamic=False) if compiles else self._embed

    def forward(self, images: Tensor, augmentation: Augmentation, labels: Tensor) -> tuple[LossValue, Tensor]:
        """Returns the loss, and the spread of the embeddings.

        Args:
            images: uint8 [b, px, px, 3], this process's faces.
            augmentation: the changes of each face.
            labels: int64 [n * b], labels of the faces of all n processes, on the CPU.
        """
        unit = gathered(functional.normalize(self._run(images, augmentation)))
        return self.loss(unit, labels), 1 - unit.detach().mean(0).square().sum()

    def _embed(self, images: Tensor, augmentation: Augmentation) -> Tensor:
        # In full precision: coordinates rounded to bfloat16 deviate by up to a third of a pixel.
        faces = augment(images, augmentation)
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self._bfloat16):
            raw: Tensor = self.backbone(faces)
        return raw.float()


def make_learner(backbone: nn.Module, loss: nn.Module, config: TrainConfig, device: torch.device) -> nn.Module:
    """The learner on `device`; with several processes, its gradients are reduced over all of them."""
    learner = Learner(backbone, loss, bfloat16=config.uses_bfloat16(device), compiles=config.compiles(device))
    return DistributedDataParallel(learner) if num_ranks() > 1 else learner
