"""Data-parallel training: several processes, one per GPU, started by `torchrun`. Also works with a single process.

Rank r of n takes its n-th part of the batch of (seed, step), and every rank computes the loss over all embeddings. So
n processes take the same steps as one with the same batch, except for rounding and for BatchNorm, which uses the faces
of its own process unless `sync_batch_norm` is on.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor, distributed

from storage.errors import UsageError

# The others wait while the first decodes the faces and, at the end, evaluates the model.
_PATIENCE = timedelta(hours=2)


@contextmanager
def process_group() -> Iterator[None]:
    """Join the process group of `torchrun`; does nothing without `torchrun`."""
    if "LOCAL_RANK" not in os.environ:
        yield
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo", timeout=_PATIENCE)
    try:
        yield
    finally:
        distributed.destroy_process_group()


def num_ranks() -> int:
    """The number of processes."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def is_rank_0() -> bool:
    """Whether this is rank 0, the process that writes."""
    return not distributed.is_initialized() or distributed.get_rank() == 0


@contextmanager
def rank_0_first() -> Iterator[None]:
    """Run the block on rank 0 before the other ranks."""
    if not is_rank_0():
        distributed.barrier()
    yield
    if is_rank_0() and num_ranks() > 1:
        distributed.barrier()


def rank_slice(batch_size: int) -> slice:
    """The rows of a batch that belong to this process.

    Raises:
        UsageError: the batch cannot be divided evenly.
    """
    if batch_size % num_ranks():
        raise UsageError(
            f"a batch of {batch_size} faces cannot be divided evenly among {num_ranks()} processes; choose "
            "identities_per_batch as a multiple of their number"
        )
    size = batch_size // num_ranks()
    first = 0 if is_rank_0() else distributed.get_rank() * size
    return slice(first, first + size)


def gathered(rows: Tensor) -> Tensor:
    """Gather rows [b, d] of all processes, in the order of their ranks: [n * b, d].

    The gradient of each process's rows is the sum over all processes. The mean that DistributedDataParallel takes
    afterwards makes it the gradient of a single process.
    """
    if num_ranks() == 1:
        return rows
    everything: Tensor = _Gather.apply(rows)
    return everything


class _Gather(torch.autograd.Function):
    """`all_gather` with a gradient. Torch's own version is deprecated, and its successor private."""

    @staticmethod
    def forward(_: Any, rows: Tensor) -> Tensor:
        parts = [torch.empty_like(rows) for _ in range(num_ranks())]
        distributed.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:
        whole = gradient.clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(whole)
        return whole[rank_slice(len(whole))]
