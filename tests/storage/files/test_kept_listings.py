"""For the length of a block a folder is listed once, and what this process writes is seen nevertheless."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path

import pytest

from storage.files.kept_listings import KeptListings
from storage.files.lake import Lake
from tests.buckets import Faults

FOLDER, FILE = "images/made", "images/made/0000-0000-aaaaaa.parquet"


@pytest.fixture(params=["memory", "local"])
def lake(request: pytest.FixtureRequest, tmp_path: Path) -> Lake:
    """In memory, which is listed as a bucket is, and in a folder."""
    lake = Lake(tmp_path / "lake" if request.param == "local" else f"memory://{uuid.uuid4().hex}")
    lake.write(FILE, b"before")
    return lake


def test_names_and_states_of_a_folder_are_one_listing_in_a_block_and_a_new_one_after_it(
    bucket: str, faults: Faults
) -> None:
    lake = Lake(f"{bucket}/lake")
    lake.write(FILE, b"before")
    with faults.asking() as asked, lake.listing_once():
        with lake.listing_once():
            found = lake.names(FOLDER), lake.states(FOLDER), lake.names("images")
        assert (lake.names(FOLDER), lake.states(f"{FOLDER}/"), lake.names("images")) == found
    assert len(asked) == 2
    with faults.asking() as asked:
        assert (lake.names(FOLDER), lake.states(FOLDER), lake.names("images")) == found
    assert len(asked) == 3


CHANGES: dict[str, Callable[[Lake], object]] = {
    "write anew": lambda lake: lake.write(FILE, b"after it"),
    "write another": lambda lake: lake.write(f"{FOLDER}/other", b""),
    "write once": lambda lake: lake.write_once(f"{FOLDER}/other", b""),
    "write below": lambda lake: lake.write(f"{FOLDER}/deep/other", b""),
    "remove": lambda lake: lake.remove(FILE),
    "remove a file": lambda lake: lake.remove_file(FILE),
    "remove a folder above": lambda lake: lake.remove("images"),
    "move away": lambda lake: lake.move("images", "quarantine/images"),
    "move in": lambda lake: lake.move("plan", f"{FOLDER}/deep"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_a_block_changes_itself_it_sees(lake: Lake, change: str) -> None:
    lake.write("plan/made.parquet", b"x")
    folders = ["", "images", FOLDER, f"{FOLDER}/deep", "plan", "quarantine"]
    with lake.listing_once():
        before = {one: (lake.names(one), lake.states(one)) for one in folders}
        CHANGES[change](lake)
        seen = {one: (lake.names(one), lake.states(one)) for one in folders}
    assert seen == {one: (lake.names(one), lake.states(one)) for one in folders} != before


def test_a_write_leaves_the_listings_of_other_folders(lake: Lake) -> None:
    with lake.listing_once():
        before = lake.names(FOLDER)
        Lake(lake.url).write(f"{FOLDER}/0000-of-another", b"x")
        lake.write("images/made2/0000.parquet", b"x")
        lake.write("cache/links/made.parquet", b"x")
        assert lake.names(FOLDER) == before
    assert lake.names(FOLDER) != before


def test_what_others_write_is_seen_after_the_block_and_leases_takedowns_and_parts_of_a_folder_at_once(
    lake: Lake,
) -> None:
    other, folders = Lake(lake.url), [FOLDER, "leases/crop/made", "takedowns"]
    with lake.listing_once():
        before = [lake.names(one) for one in folders]
        for folder in folders:
            other.write(f"{folder}/0000-of-another", b"x")
        assert [lake.names(one) for one in folders] == [before[0], ["0000-of-another"], ["0000-of-another"]]
        assert lake.names(FOLDER, "0000-of") == ["0000-of-another"]
    assert "0000-of-another" in lake.names(FOLDER)


def test_a_listing_that_a_write_overtakes_is_not_kept() -> None:
    listings = KeptListings()

    def answered_late() -> dict[str, str]:
        listings.forget("images/made/new")
        return {}

    with listings.kept():
        assert listings.of("images/made", answered_late) == {}
        assert listings.of("images/made", lambda: {"new": "1 a"}) == {"new": "1 a"}
        assert listings.of("images/made", dict) == {"new": "1 a"}
