"""Two processes, as torchrun starts them, against one."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load
from torch import nn

from model import ranks
from model.backbones import BACKBONES
from model.ranks import first_one_first, gathered, is_first, num_ranks, own_part
from model.train import train
from storage.errors import UsageError
from storage.models import model_versions
from tests.model.conftest import write_dataset

RANK = """
import sys
import torch
from model.__main__ import main
from model.backbones import BACKBONES
from tests.model.test_ranks import plain
BACKBONES["mobilefacenet"] = plain
torch.set_num_threads(1)
sys.exit(main(sys.argv[1:]))
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


def plain(dim: int, width: float, px: int) -> nn.Module:
    """A network without BatchNorm, so that two processes and one differ by rounding only."""
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * px * px, dim))


def start_ranks(count: int, *arguments: str) -> list[subprocess.Popen]:
    """What `torchrun --nproc-per-node COUNT -m model` starts, without its launcher, which takes seconds."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(count), "OMP_NUM_THREADS": "1"}
    return [
        subprocess.Popen(
            [sys.executable, "-c", RANK, *arguments],
            cwd=Path(__file__).parents[2],
            env={**os.environ, **place, "RANK": str(rank), "LOCAL_RANK": str(rank)},
        )
        for rank in range(count)
    ]


@pytest.mark.slow
def test_two_processes_train_what_one_trains(lake, tiny, tmp_path, monkeypatch):
    dataset = write_dataset(lake, "drawn", {"train": 10, "val": 3, "test": 3}, faces_each=5)
    options = [f"--{name.replace('_', '-')}={value}" for name, value in RECIPE.items()]
    both = start_ranks(2, "--lake", lake.url, "--dataset", "drawn", "--name", "two", *options)
    monkeypatch.setitem(BACKBONES, "mobilefacenet", plain)
    one = train(lake, dataset, tiny(name="one", **RECIPE), work_folder=tmp_path / "work")
    assert [rank.wait(timeout=120) for rank in both] == [0, 0]
    [two] = model_versions(lake, "two")
    weights, wanted = load(two.read("weights.safetensors")), load(one.read("weights.safetensors"))
    assert all(torch.allclose(weights[name], wanted[name], atol=1e-5) for name in wanted)
    losses = [[step["loss"] for step in model.read_json("history.json")["intervals"]] for model in (two, one)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_alone_a_process_is_the_first_and_has_all():
    rows = torch.ones(6, 2)
    with first_one_first():
        assert (is_first(), num_ranks()) == (True, 1)
    assert gathered(rows) is rows
    assert own_part(6) == slice(0, 6)


def test_a_batch_that_cannot_be_shared_evenly_is_refused(monkeypatch):
    monkeypatch.setattr(ranks, "num_ranks", lambda: 4)
    with pytest.raises(UsageError, match="a batch of 6 faces cannot be shared evenly by 4 processes"):
        own_part(6)
