"""Two processes, as torchrun starts them, against one."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from safetensors.torch import load
from torch import nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

from model.backbones import BACKBONES
from model.devices import distributed as ranks
from model.devices.distributed import gathered, is_rank_0, num_ranks, rank_0_first, rank_slice
from model.training.training_loop import first_modules, train
from storage.errors import UsageError
from storage.versions.models import model_versions
from tests.model.conftest import write_dataset

RANK = """
import sys
import torch
from model.__main__ import main
from model.backbones import BACKBONES
from tests.model.devices.test_distributed import keep_first_gradient, plain
BACKBONES["mobilefacenet"] = plain
torch.set_num_threads(1)
with keep_first_gradient() as first:
    code = main(sys.argv[2:])
torch.save(first[0], sys.argv[1])
sys.exit(code)
"""
RECIPE = {
    "embedding_dim": 32,
    "image_px": 32,
    "loss": "triplet+cosface",
    "identities_per_batch": 8,
    "faces_per_identity": 4,
    "steps": 6,
    "warmup_steps": 2,
    "learning_rate": 5e-3,
    "ema_decay": 0.5,
    "device": "cpu",
}
INPUTS = 3 * 32 * 32


def plain(dim: int, width: float, px: int) -> nn.Module:
    """A network without BatchNorm, so that two processes and one differ by rounding only."""
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * px * px, dim))


@contextmanager
def keep_first_gradient() -> Iterator[list[torch.Tensor]]:
    """The gradient of all parameters at the first step of any optimizer, as one vector, once that step was taken."""
    kept: list[torch.Tensor] = []

    def keep(optimizer: torch.optim.Optimizer, *_: object) -> None:
        if not kept:
            parameters = [one for group in optimizer.param_groups for one in group["params"]]
            kept.append(torch.cat([one.grad.flatten() for one in parameters]))

    hook = register_optimizer_step_pre_hook(keep)
    try:
        yield kept
    finally:
        hook.remove()


def distance(one: torch.Tensor, other: torch.Tensor) -> float:
    """How far two vectors lie apart, as a share of the length of the second."""
    return float((one - other).norm() / other.norm())


def start_ranks(count: int, gradients: Path, *arguments: str) -> list[subprocess.Popen]:
    """What `torchrun --nproc-per-node COUNT -m model` starts, without its launcher, which takes seconds."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(count), "OMP_NUM_THREADS": "1"}
    return [
        subprocess.Popen(
            [sys.executable, "-c", RANK, f"{gradients}-{rank}.pt", *arguments],
            cwd=Path(__file__).parents[3],
            env={**os.environ, **place, "RANK": str(rank), "LOCAL_RANK": str(rank)},
        )
        for rank in range(count)
    ]


@pytest.mark.slow
def test_two_processes_train_what_one_trains(lake, tiny, tmp_path, monkeypatch):
    # An embedding and a gradient are sums of at most 3072 products in float32, whose rounding errors add up to at most
    # 3072 * 2**-24 = 1.8e-4 of the summed magnitudes; how they do depends on the processor. A gradient passes through
    # two such sums. A wrong one (half of the batch, or not averaged) is off by 0.3 and more.
    rounding = 2 * INPUTS * 2.0**-24
    dataset = write_dataset(lake, "drawn", {"train": 10, "val": 3, "test": 3}, faces_each=5)
    options = [f"--{name.replace('_', '-')}={value}" for name, value in RECIPE.items()]
    gradients = tmp_path / "gradient"
    both = start_ranks(2, gradients, "--lake", lake.url, "--dataset", "drawn", "--name", "two", *options)
    monkeypatch.setitem(BACKBONES, "mobilefacenet", plain)
    with keep_first_gradient() as expected:
        one = train(lake, dataset, tiny(name="one", **RECIPE), work_folder=tmp_path / "work")
    assert [rank.wait() for rank in both] == [0, 0]
    for rank in range(2):
        assert distance(torch.load(f"{gradients}-{rank}.pt"), expected[0]) < rounding

    # AdamW moves a weight by about the learning rate however small its gradient is, so where the gradient is within
    # rounding of zero the weights may go apart. That is a share of about `rounding` of them, by twice their path.
    [two] = model_versions(lake, "two")
    first = first_modules(tiny(name="one", **RECIPE), 10)[0].state_dict()
    paths = [
        torch.cat([(weights[name] - first[name]).flatten() for name in first])
        for weights in (load(model.read("weights.safetensors")) for model in (two, one))
    ]
    assert distance(*paths) < 2 * rounding**0.5
    # The loss hardly depends on the weights with such small gradients.
    losses = [[step["loss"] for step in model.read_json("history.json")["intervals"]] for model in (two, one)]
    assert losses[0] == pytest.approx(losses[1], rel=rounding)


def test_alone_a_process_is_the_first_and_has_all():
    rows = torch.ones(6, 2)
    with rank_0_first():
        assert (is_rank_0(), num_ranks()) == (True, 1)
    assert gathered(rows) is rows
    assert rank_slice(6) == slice(0, 6)


def test_a_batch_that_cannot_be_shared_evenly_is_refused(monkeypatch):
    monkeypatch.setattr(ranks, "num_ranks", lambda: 4)
    with pytest.raises(UsageError, match="a batch of 6 faces cannot be divided evenly among 4 processes"):
        rank_slice(6)
