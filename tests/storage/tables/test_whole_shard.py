"""A tar of which most members are read."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from storage.errors import LakeError
from storage.files.lake import Lake
from storage.tables.shards import create_shard
from storage.tables.whole_shard import whole_shard
from tests.buckets import Faults

TAR = "images/made/0000-0000-aaaaaa.tar"


@pytest.fixture
def lake(lake_anywhere: Lake) -> Lake:
    return lake_anywhere


def write(lake: Lake) -> dict[tuple[int, int], bytes]:
    """A tar of twenty members, by their places."""
    random = np.random.default_rng(0)
    with create_shard(lake, TAR) as shard:
        members = [random.bytes(1000 + number) for number in range(20)]
        return {shard.add(f"{number}.jpg", data): data for number, data in enumerate(members)}


def test_all_members_are_read_and_no_copy_is_left(lake: Lake) -> None:
    members = write(lake)
    with whole_shard(lake, TAR) as tar:
        assert {place: tar.member(*place) for place in members} == members
    assert lake.unclaimed() == []


def test_a_tar_that_is_removed_while_its_members_are_read_is_missing(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    place, *_ = write(lake)
    with whole_shard(lake, TAR) as tar:
        lake.remove_file(TAR)
        with pytest.raises(LakeError, match=r"aaaaaa.tar is missing: run `facemill check --repair`"):
            tar.member(*place)


def test_a_tar_in_a_bucket_is_asked_for_once_and_may_be_read_by_other_processes(bucket: str, faults: Faults) -> None:
    lake = Lake(f"{bucket}/lake")
    members = write(lake)
    with faults.asking() as asked, whole_shard(lake, TAR) as tar:
        other = pickle.loads(pickle.dumps(tar))  # noqa: S301 - its own bytes
        assert {place: other.member(*place) for place in members} == members
    assert [method for method, _ in asked] == ["GET"]


def test_a_copy_that_breaks_off_in_the_middle_goes_on_where_it_was(bucket: str, faults: Faults) -> None:
    lake = Lake(f"{bucket}/lake")
    members = write(lake)
    faults.plan("GET", "503", "cut")
    with whole_shard(lake, TAR) as tar:
        assert {place: tar.member(*place) for place in members} == members
    assert faults.planned == []


@pytest.mark.parametrize("place", [(-1, 5), (0, -5), (10**6, 10), (20_000, 10**6), (0, 2**62)])
def test_a_place_that_the_tar_does_not_have_is_told(lake: Lake, place: tuple[int, int]) -> None:
    write(lake)
    with whole_shard(lake, TAR) as tar, pytest.raises(LakeError, match="where the index has a member"):
        tar.member(*place)


def test_a_tar_that_is_missing_is_told_once_a_member_is_wanted(lake: Lake) -> None:
    with whole_shard(lake, TAR) as tar, pytest.raises(LakeError, match=r"aaaaaa\.tar is missing"):
        tar.member(0, 1)
