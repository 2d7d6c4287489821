from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from storage.errors import LakeError, UsageError
from storage.files.lake import Lake
from storage.versions.alias_events import AliasEvent
from storage.versions.tags import checked_tag, record_tag, tag_history, tags
from tests.vanishing import removed_once_listed


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


def give(lake: Lake, tag: str, version: str, action: str = "tag") -> AliasEvent:
    return record_tag(lake, "faces", AliasEvent(tag, action, version, None, "ada"))


@pytest.mark.parametrize("name", ["golden", "v1", "2026-11-28", "0123456789abcde", "paper.2"])
def test_a_tag_is_a_name_that_a_folder_could_have(name):
    assert checked_tag(name) == name


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("latest", "is reserved"),
        ("champion", "is reserved"),
        ("0123456789abcdef", "looks like the id of a version"),
        ("0123456789ABCDEF", "looks like the id of a version"),
        ("", "must be 1 to 100 letters"),
        ("a@b", "must be 1 to 100 letters"),
        ("a/b", "must be 1 to 100 letters"),
    ],
)
def test_names_that_would_be_misread_are_refused_in_one_line(name, told):
    with pytest.raises(UsageError, match=told) as error:
        checked_tag(name)
    assert "\n" not in str(error.value)


def test_a_tag_stands_for_the_version_of_its_last_event_and_for_none_once_removed(lake):
    for tag, version in (("golden", "v1"), ("paper", "v1"), ("golden", "v2")):
        give(lake, tag, version)
    assert tags(lake, "faces") == {"golden": "v2", "paper": "v1"}
    give(lake, "paper", "v1", "untag")
    assert tags(lake, "faces") == {"golden": "v2"}
    assert [(event.alias, event.action) for event in tag_history(lake, "faces")] == [
        ("golden", "tag"), ("paper", "tag"), ("golden", "tag"), ("paper", "untag"),
    ]  # fmt: skip


def test_tags_at_once_lose_nothing_of_the_history(lake):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: give(lake, f"tag-{number}", "v1"), range(16)))
    assert set(tags(lake, "faces")) == {f"tag-{number}" for number in range(16)}


def test_a_dataset_of_an_older_facemill_has_no_tags(lake):
    lake.write_json("datasets/faces/v1/manifest.json", {"published_at": "2026-01-01"})
    assert tags(lake, "faces") == {}


def test_a_damaged_event_is_refused_and_named(lake):
    give(lake, "golden", "v1")
    (file,) = lake.names("datasets/faces/aliases")
    path = f"datasets/faces/aliases/{file}"
    lake.write_json(path, {**lake.read_json(path), "version": "../../x"})
    with pytest.raises(LakeError, match=file):
        tags(lake, "faces")


def test_an_event_that_its_writer_takes_back_while_events_are_read_is_none(lake):
    give(lake, "golden", "v1"), give(lake, "paper", "v1")
    first, _ = (f"{lake.tags('faces')}/{name}" for name in lake.names(lake.tags("faces")))
    with removed_once_listed(first):
        assert tags(lake, "faces") == {"paper": "v1"}
