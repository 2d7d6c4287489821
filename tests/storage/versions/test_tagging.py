from __future__ import annotations

from pathlib import Path

import pytest

from storage.errors import UsageError
from storage.files.lake import Lake
from storage.versions.datasets import open_dataset, versions
from storage.versions.tagging import tag_version, untag
from storage.versions.tags import tags


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """A lake with the versions v1 and v2 of the dataset `faces`."""
    lake = Lake(tmp_path / "lake")
    for version in ("v1", "v2"):
        lake.write_json(f"datasets/faces/{version}/manifest.json", {"published_at": f"2026-01-0{version[1]}"})
    return lake


def test_a_tag_stands_for_its_version_wherever_a_dataset_is_named_and_moves(lake):
    event = tag_version(open_dataset(lake, "faces@v1"), "golden", by="ada", why="the paper's")
    assert (event.version, event.over, event.by, event.why) == ("v1", None, "ada", "the paper's")
    assert open_dataset(lake, "faces@golden").version == "v1"
    moved = tag_version(open_dataset(lake, "faces@latest"), "golden", by="ada")
    assert (moved.version, moved.over) == ("v2", "v1")
    assert open_dataset(lake, "faces@golden").version == "v2"


def test_latest_is_always_the_newest(lake):
    assert open_dataset(lake, "faces@latest").version == open_dataset(lake, "faces").version == "v2"
    lake.write_json("datasets/faces/v0/manifest.json", {"published_at": "2026-01-03"})
    assert open_dataset(lake, "faces@latest").version == "v0"


def test_the_folder_of_the_tags_is_no_version(lake):
    tag_version(open_dataset(lake, "faces@v1"), "golden", by="ada")
    lake.write_json("datasets/faces/aliases/manifest.json", {"published_at": "2026-01-09"})
    assert [one.version for one in versions(lake, "faces")] == ["v1", "v2"]


def test_a_tag_that_is_removed_names_nothing_and_its_version_stays(lake):
    tag_version(open_dataset(lake, "faces@v1"), "golden", by="ada")
    assert untag(lake, "faces", "golden", by="ada").version == "v1"
    assert tags(lake, "faces") == {}
    with pytest.raises(UsageError, match="there is no dataset version faces@golden"):
        open_dataset(lake, "faces@golden")
    assert open_dataset(lake, "faces@v1").version == "v1"


def test_what_cannot_be_tagged_or_untagged_is_told_in_one_line(lake):
    version = open_dataset(lake, "faces@v1")
    with pytest.raises(UsageError, match="'v2' is the id of a version of faces"):
        tag_version(version, "v2", by="ada")
    with pytest.raises(UsageError, match="reserved"):
        tag_version(version, "latest", by="ada")
    tag_version(version, "golden", by="ada")
    with pytest.raises(UsageError, match="faces@golden is faces@v1 already"):
        tag_version(version, "golden", by="ada")
    with pytest.raises(UsageError, match="faces has no tag 'silver'; its tags: golden"):
        untag(lake, "faces", "silver", by="ada")
