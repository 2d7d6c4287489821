from __future__ import annotations

import os
import tarfile
import time
from io import BytesIO
from pathlib import Path

import pytest

from storage.errors import LakeError
from storage.files.lake import Lake
from storage.tables.shards import create_shard, read_member, read_members, read_places

MEMBERS = {"a.jpg": b"picture", "a.json": b"{}", "empty.jpg": b"", "x" * 96 + ".jpg": os.urandom(5000)}


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path)


def write(lake: Lake, path: str) -> dict[str, tuple[int, int]]:
    with create_shard(lake, path) as shard:
        return {name: shard.add(name, data) for name, data in MEMBERS.items()}


def test_members_are_read_by_offset_and_length(lake):
    places = write(lake, "a.tar")

    assert {name: read_member(lake, "a.tar", *place) for name, place in places.items()} == MEMBERS


def test_members_that_are_filled_later_give_the_same_tar(lake):
    write(lake, "a.tar")
    with create_shard(lake, "b.tar") as shard:
        places = {name: shard.reserve(name, len(data)) for name, data in MEMBERS.items()}
        for name in reversed(places):
            shard.fill(places[name], MEMBERS[name])

    assert lake.read("b.tar") == lake.read("a.tar")


def test_many_members_are_read_in_the_order_of_their_places(lake_anywhere: Lake):
    places = write(lake_anywhere, "a.tar")

    assert list(read_members(lake_anywhere, "a.tar", list(places.values()))) == list(MEMBERS.values())
    assert list(read_members(lake_anywhere, "a.tar", [])) == []


def test_members_in_a_bucket_are_read_in_large_pieces(lake_anywhere: Lake, monkeypatch):
    monkeypatch.setattr("storage.tables.shards._GAP_BYTES", 2_000)
    asked: list[tuple[int, int]] = []
    read = lake_anywhere.read

    def counted(path: str, offset: int, length: int) -> bytes:
        asked.append((offset, length))
        return read(path, offset, length)

    monkeypatch.setattr(lake_anywhere, "read", counted)
    lake_anywhere.write("a.tar", bytes(range(256)) * 100)
    places = [(0, 10), (1_000, 10), (1_010, 500), (9_000, 3)]
    found = list(read_members(lake_anywhere, "a.tar", places))

    assert [len(data) for data in found] == [length for _, length in places]
    assert all(data[0] == offset % 256 for data, (offset, _) in zip(found, places, strict=True))
    assert asked == ([] if lake_anywhere.is_local else [(0, 1_510), (9_000, 3)])


@pytest.mark.parametrize("place", [(-1, 5), (0, -5), (10_000, 500), (100_000, 10), (2**50, 10), (0, 10**12)])
def test_a_place_that_a_tar_does_not_have_is_refused(lake_anywhere: Lake, place):
    write(lake_anywhere, "a.tar")
    with pytest.raises(LakeError, match=r"a\.tar"):
        list(read_members(lake_anywhere, "a.tar", [place]))


def test_members_of_several_tars_come_in_the_order_asked_for(lake_anywhere: Lake):
    places = [(tar, *place) for tar in ("b.tar", "a.tar") for place in write(lake_anywhere, tar).values()]
    mixed = [places[at] for at in (5, 0, 3, 7, 0, 2, 6, 1, 4)]

    assert read_places(lake_anywhere, mixed) == [read_member(lake_anywhere, *place) for place in mixed]
    assert read_places(lake_anywhere, []) == []


def test_members_of_a_tar_that_is_missing_are_one_line(lake_anywhere: Lake):
    with pytest.raises(LakeError, match=r"a.tar is missing: run `facemill check --repair`"):
        list(read_members(lake_anywhere, "a.tar", [(0, 1)]))


def test_members_are_read_by_any_tar_reader(lake):
    write(lake, "a.tar")
    with lake.open("a.tar") as file, tarfile.open(fileobj=file) as tar:
        found = {info.name: tar.extractfile(info).read() for info in tar}

    assert found == MEMBERS


@pytest.mark.parametrize("num", [0, 1, 19, 20, 50])
def test_a_shard_is_the_tar_that_tarfile_writes(lake, num):
    members = {f"{n:032x}.jpeg": os.urandom([0, 1, 511, 512, 513][n % 5]) for n in range(num)}
    file = BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, BytesIO(data))
    with create_shard(lake, "a.tar") as shard:
        for name, data in members.items():
            shard.add(name, data)

    assert lake.read("a.tar") == file.getvalue()


def test_members_are_read_by_webdataset(lake):
    webdataset = pytest.importorskip("webdataset")
    write(lake, "a.tar")
    first = next(iter(webdataset.WebDataset(lake.full("a.tar"), shardshuffle=False)))

    assert (first["__key__"], first["jpg"], first["json"]) == ("a", b"picture", b"{}")


def test_equal_content_gives_equal_bytes_at_any_time(lake, monkeypatch):
    write(lake, "a.tar")
    monkeypatch.setattr(time, "time", lambda: 2e9)
    write(lake, "b.tar")

    assert lake.read("a.tar") == lake.read("b.tar")


def test_the_writer_knows_how_large_the_shard_has_grown(lake):
    with create_shard(lake, "a.tar") as shard:
        assert shard.num_bytes == 0
        shard.add("a.jpg", b"picture")
        assert shard.num_bytes == 1024


def test_a_name_too_long_for_one_header_is_refused(lake):
    with pytest.raises(ValueError, match="long"), create_shard(lake, "a.tar") as shard:
        shard.add("x" * 101, b"")


def test_a_shard_killed_midway_is_not_there(lake):
    with pytest.raises(KeyboardInterrupt), create_shard(lake, "images/made/a.tar") as shard:
        shard.add("a.jpg", b"picture")
        raise KeyboardInterrupt

    assert lake.names("images/made") == []
