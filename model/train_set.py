"""The training faces where a step can reach them, and who makes a batch."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from model.config import TrainConfig
from model.data import Faces
from model.device import moved
from model.distributed import own_part
from model.sampler import PKSampler

# Of what is free on a GPU; the rest is for activations.
_RESIDENT_SHARE = 0.5


@dataclass(frozen=True)
class TrainSet:
    """The training faces.

    Attributes:
        images: uint8 [n, px, px, 3], on the device where they fit, else in memory mapped from the cache.
        labels: int64 [n], on the CPU.
        own: the rows of a batch that are this process's.
    """

    device: torch.device
    images: Tensor
    labels: Tensor
    sampler: PKSampler
    own: slice

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """This process's faces of one step, on the device, and the labels of all of them, on the CPU."""
        rows = torch.from_numpy(self.sampler.indices(step))
        return moved(self.images[moved(rows[self.own], self.images.device)], self.device), self.labels[rows]


def put_on(device: torch.device, faces: Faces, config: TrainConfig) -> TrainSet:
    """The training set for `device`.

    122,000 faces of 112 px are 4.6 GB and stay on a GPU. More than fit are gathered a batch at a time and copied
    while the GPU still works on the batch before.

    Raises:
        UsageError: it has too few people or faces for a batch, or a batch cannot be shared out.
    """
    sampler = PKSampler(faces.labels, config.identities_per_batch, config.faces_per_identity, config.seed)
    images, labels = torch.from_numpy(faces.images), torch.from_numpy(faces.labels)
    if device.type == "cuda" and images.nbytes < _RESIDENT_SHARE * torch.cuda.mem_get_info(device)[0]:
        images = images.to(device)
    return TrainSet(device, images, labels, sampler, own_part(sampler.batch_size))
