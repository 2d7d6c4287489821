"""SIGKILL of `facemill prune` in the middle of its work, again and again: no version that stays loses a byte."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from storage.files.lake import Lake
from storage.versions.datasets import DatasetVersion, all_versions
from storage.versions.models import model_versions
from tests.chaos.calm import facemill, running, wait_until
from tests.tasks.maintenance.prune.versions import contents, dataset, model, sharing_dataset

pytestmark = pytest.mark.chaos

KILLS, NUM_VERSIONS = 20, 60
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_KEEP = ("--keep-last", "3")


def filled(folder: Path) -> Lake:
    """Versions of two datasets, of the shared and of the first layout, and a model on every tenth."""
    lake, rng = Lake(folder), np.random.default_rng(1)
    for number in range(NUM_VERSIONS):
        letters = "".join(sorted(rng.choice(list(_LETTERS), 6, replace=False)))
        sharing_dataset(lake, f"v{number:02d}", 200 - number, letters)
        dataset(lake, f"own{number:02d}", 200 - number, name="faces-bbox")
        if number % 10 == 0:
            model(lake, f"m{number:02d}", 100 - number, f"faces-mtcnn@v{number:02d}")
    return lake


def faces(version: DatasetVersion) -> list[bytes]:
    rows = version.index(["shard", "offset", "length"]).to_pylist()
    return [version.read(**row) for row in rows]


def num_files(folder: Path) -> int:
    return sum(path.is_file() for part in ("datasets", "models") for path in (folder / part).rglob("*"))


def has_at_most(folder: Path, num: int) -> bool:
    return num_files(folder) <= num


def test_prune_killed_twenty_times_loses_nothing_and_ends_as_if_undisturbed(tmp_path: Path) -> None:
    lake = filled(tmp_path / "lake")
    folder, calm = Path(lake.root), tmp_path / "calm"
    shutil.copytree(folder, calm)
    before = {str(one): faces(one) for one in all_versions(lake)}
    facemill("prune", *_KEEP, "--lake", str(calm))
    to_remove = num_files(folder) - num_files(calm)

    for kill in range(KILLS):
        # Each kill comes when its share of the files has gone.
        left = num_files(calm) + to_remove * (KILLS - kill) // (KILLS + 1)
        with running("prune", *_KEEP, "--lake", str(folder)) as process:
            wait_until(process, partial(has_at_most, folder, left))
            process.kill()
        for version in all_versions(lake):
            assert faces(version) == before[str(version)]
    facemill("prune", *_KEEP, "--lake", str(folder))

    assert {str(one) for one in all_versions(lake)} == {str(one) for one in all_versions(Lake(calm))}
    assert {str(one) for one in model_versions(lake)} == {str(one) for one in model_versions(Lake(calm))}
    assert files_but_leases(lake) == files_but_leases(Lake(calm))


def files_but_leases(lake: Lake) -> set[str]:
    return {path for path in contents(lake) if not path.startswith("leases/")}
