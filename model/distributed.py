"""Several processes that train one model together, one a GPU, as `torchrun` starts them; most runs are one alone.

Rank r of n draws its n-th part of each batch from the same (seed, step), and every rank computes the loss over all
embeddings. So n processes take the steps of one with the same batch, but for rounding and for BatchNorm, which sees
the faces of its own process unless `sync_batch_norm` is on.
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

# The others wait while the first decodes the faces and, at the end, judges the model.
_PATIENCE = timedelta(hours=2)


@contextmanager
def joined() -> Iterator[None]:
    """Join the processes that `torchrun` started beside this one; without it nothing happens."""
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
    """How many processes train together."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def is_first() -> bool:
    """Whether this is the process that writes: the first, or the only one."""
    return not distributed.is_initialized() or distributed.get_rank() == 0


@contextmanager
def first_one_first() -> Iterator[None]:
    """The first process does what is in the block before the others begin with it."""
    if not is_first():
        distributed.barrier()
    yield
    if is_first() and num_ranks() > 1:
        distributed.barrier()


def own_part(batch_size: int) -> slice:
    """The rows of a batch that are this process's.

    Raises:
        UsageError: it cannot be shared out evenly.
    """
    if batch_size % num_ranks():
        raise UsageError(
            f"a batch of {batch_size} faces cannot be shared evenly by {num_ranks()} processes; choose "
            "identities_per_batch as a multiple of their number"
        )
    size = batch_size // num_ranks()
    first = 0 if is_first() else distributed.get_rank() * size
    return slice(first, first + size)


def gathered(rows: Tensor) -> Tensor:
    """The rows of all processes [n * b, d] in the order of their ranks, of rows [b, d].

    A gradient flows back into the rows of every process, the sum of what all of them sent: the mean that
    DistributedDataParallel takes afterwards makes it the gradient of one process.
    """
    if num_ranks() == 1:
        return rows
    everything: Tensor = _Gather.apply(rows)
    return everything


class _Gather(torch.autograd.Function):
    """`all_gather` with a gradient; torch's own with one is deprecated, and its successor private."""

    @staticmethod
    def forward(_: Any, rows: Tensor) -> Tensor:
        parts = [torch.empty_like(rows) for _ in range(num_ranks())]
        distributed.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:
        whole = gradient.clone(memory_format=torch.contiguous_format)
        distributed.all_reduce(whole)
        return whole[own_part(len(whole))]
