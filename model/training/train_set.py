"""The training faces in device or host memory, and the assembly of batches."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from model.configuration.config import TrainConfig
from model.devices.device import to_device
from model.devices.distributed import rank_slice
from model.embedding.data import Faces
from model.training.sampler import PKSampler

# Share of free GPU memory; the rest is for activations.
_RESIDENT_SHARE = 0.5


@dataclass(frozen=True)
class TrainSet:
    """The training faces.

    Attributes:
        images: uint8 [n, px, px, 3], on the device if they fit, else memory-mapped from the cache.
        labels: int64 [n], on the CPU.
        own: the rows of a batch that belong to this process.
    """

    device: torch.device
    images: Tensor
    labels: Tensor
    sampler: PKSampler
    own: slice

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """This process's faces of one step, on the device, and the labels of the whole batch, on the CPU."""
        rows = torch.from_numpy(self.sampler.indices(step))
        return to_device(self.images[to_device(rows[self.own], self.images.device)], self.device), self.labels[rows]


def put_on(device: torch.device, faces: Faces, config: TrainConfig) -> TrainSet:
    """Create the training set for `device`.

    122,000 faces of 112 px are 4.6 GB and stay on a GPU. If they do not fit, each batch is gathered and copied while
    the GPU processes the previous one.

    Raises:
        UsageError: there are too few people or faces for a batch, or a batch cannot be divided among the processes.
    """
    sampler = PKSampler(faces.labels, config.identities_per_batch, config.faces_per_identity, config.seed)
    images, labels = torch.from_numpy(faces.images), torch.from_numpy(faces.labels)
    if device.type == "cuda" and images.nbytes < _RESIDENT_SHARE * torch.cuda.mem_get_info(device)[0]:
        images = images.to(device)
    return TrainSet(device, images, labels, sampler, rank_slice(sampler.batch_size))
