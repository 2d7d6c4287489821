from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from storage.files.lake import Lake
from storage.files.stored_files import stored_files


@pytest.fixture
def lake(lake_anywhere: Lake) -> Lake:
    return lake_anywhere


def test_files_are_listed_with_their_lengths_below_a_folder_or_in_all(lake):
    lake.write("models/small/v1/weights", b"12345")
    lake.write("models/small/v1/deep/er", b"1")
    lake.write("modelsnot/x", b"123")
    assert [file[:2] for file in stored_files(lake, "models")] == [
        ("models/small/v1/deep/er", 1), ("models/small/v1/weights", 5),
    ]  # fmt: skip
    everything = {file.path: file.num_bytes for file in stored_files(lake)}
    assert everything.keys() == {"lake.json", "models/small/v1/deep/er", "models/small/v1/weights", "modelsnot/x"}
    assert stored_files(lake, "nothing") == []


def test_ages_are_in_utc(lake):
    lake.write("x", b"1")
    (file,) = [one for one in stored_files(lake) if one.path == "x"]
    assert file.modified.tzinfo is not None
    assert abs(file.modified - datetime.now(UTC)) < timedelta(hours=1)


def test_the_work_folder_is_listed_where_it_lies(lake):
    lake.begin()
    path = lake.work_folder / "faces" / "x.npy"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"1234")
    os.utime(path, (0, 0))
    assert stored_files(lake, "work") == [("work/faces/x.npy", 4, datetime(1970, 1, 1, tzinfo=UTC))]
    assert stored_files(lake, "work/faces") == stored_files(lake, "work")
    assert "work/faces/x.npy" in {file.path for file in stored_files(lake)}


def test_links_are_counted_and_not_followed(tmp_path):
    lake = Lake(tmp_path / "lake")
    lake.begin()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "big").write_bytes(bytes(10_000))
    (Path(lake.root) / "images").symlink_to(tmp_path / "outside")
    assert sum(file.num_bytes for file in stored_files(lake)) < 1000
