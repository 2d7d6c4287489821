"""A disk that is full, or turns read-only, and then is neither."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.files.lake import Lake
from synthetic.origin import serving as origin_of
from synthetic.world import make_world
from tests.chaos.calm import assert_same, facemill, links_of, running, start, wait_until

pytestmark = [pytest.mark.chaos, pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk")]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1.5 MB; the pictures alone need more."""
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1536k", "tmpfs", str(disk)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("a small disk cannot be mounted here")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_a_run_on_a_full_disk_says_so_and_goes_on_when_there_is_room(
    tmp_path: Path, small_disk: Path, calm_limits: None
) -> None:
    world, lake, calm = tmp_path / "world", small_disk / "lake", tmp_path / "calm"
    make_world(world, num_identities=6, per_identity=12, seed=2)
    with origin_of(world) as origin:
        facemill("pipeline", "--lake", str(calm), *links_of(world, origin), "--steps", "4")
    with origin_of(world) as origin:
        full = start("pipeline", "--lake", str(lake), *links_of(world, origin), "--steps", "4")
        assert full.returncode == 1
        assert "cannot be written: No space left on device; after that is fixed" in full.stderr.splitlines()[-1]
        assert not [path for path in lake.rglob("*") if path.name.startswith(".tmp-")]
        assert Lake(lake).names("datasets") == []
        assert remount(small_disk, "size=256m")
        facemill("pipeline", "--lake", str(lake), *links_of(world, origin), "--steps", "4")
    assert_same(lake, calm)


@pytest.mark.parametrize(
    ("point", "pattern"),
    [
        ("after the first round of requests", "images/*/*.parquet"),
        ("before faces are cut out", "detections/*/*.parquet"),
        ("before the model is trained", "datasets/faces-mtcnn/*/manifest.json"),
    ],
)
def test_a_run_whose_disk_turns_read_only_says_so_and_goes_on_when_it_may_write_again(
    tmp_path: Path, small_disk: Path, calm_limits: None, point: str, pattern: str
) -> None:
    world, lake, calm = tmp_path / "world", small_disk / "lake", tmp_path / "calm"
    make_world(world, num_identities=6, per_identity=12, seed=2)
    assert remount(small_disk, "size=256m")
    with origin_of(world) as origin:
        facemill("pipeline", "--lake", str(calm), *links_of(world, origin), "--steps", "40")
    with origin_of(world) as origin:
        command = ["pipeline", "--lake", str(lake), *links_of(world, origin), "--steps", "40"]
        with running(*command) as refused:
            wait_until(refused, lambda: any(lake.glob(pattern)))
            # Refused while a file is open for writing.
            wait_until(refused, lambda: remount(small_disk, "ro"))
            _, errors = refused.communicate(timeout=900)
        assert refused.returncode == 1, point
        last = errors.splitlines()[-1]
        assert last.startswith("facemill: "), errors[-3000:]
        assert "Read-only file system; after that is fixed, run the same command to continue" in last
        assert remount(small_disk, "rw")
        facemill(*command)
    assert_same(lake, calm)


def remount(disk: Path, option: str) -> bool:
    command = ["mount", "-o", f"remount,{option}", str(disk)]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0
