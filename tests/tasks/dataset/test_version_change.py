from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from storage.files.lake import Lake
from storage.records import FACES, url_key
from storage.tables.parquet import read_as, write_table
from storage.versions.datasets import versions
from tasks.dataset.publish_request import Request
from tasks.dataset.publish_version import Published, publish_source
from tasks.dataset.select import SelectRules
from tasks.dataset.version_change import VersionChange
from tests.tasks.made_lake import PEOPLE, SOURCE, STEM, make_lake, url_of

# Four lines of each of eight people become samples.
NUM_FACES, NUM_PEOPLE = 32, 8


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return make_lake(tmp_path)


def publish(lake: Lake, min_change: float = 0.0, select: SelectRules = SelectRules()) -> Published:
    request = Request(name="faces-mtcnn", source=SOURCE, method="mtcnn", select=select)
    return publish_source(lake, request, min_change=min_change)


def lose(lake: Lake, *urls: str) -> None:
    """Remove the faces of these links from the lake, as a retry with other pictures would."""
    path = f"{lake.faces('mtcnn', SOURCE, STEM)}.parquet"
    table = read_as(lake, path, FACES)
    gone = pc.is_in(table["key"], value_set=pa.array([url_key(url) for url in urls], pa.binary(16)))
    write_table(lake, path, table.filter(pc.invert(gone)), stamp="mtcnn")


def test_a_change_below_the_least_share_makes_no_version_and_says_why(lake: Lake) -> None:
    first = publish(lake)
    lose(lake, url_of(PEOPLE[0], 3))
    second = publish(lake, min_change=0.04)
    assert (str(second.dataset), second.is_new) == (str(first.dataset), False)
    assert second.change == VersionChange(NUM_FACES, NUM_PEOPLE, 0, 1, 0, 0)
    assert second.note == (
        "no new version: 0 faces added and 1 removed of 32, 0 people added and 0 removed of 8, less than 4.0%"
    )
    assert second.funnel == first.funnel
    assert len(versions(lake, "faces-mtcnn")) == 1


def test_a_change_of_the_least_share_makes_a_version(lake: Lake) -> None:
    first = publish(lake)
    lose(lake, url_of(PEOPLE[0], 3))
    second = publish(lake, min_change=1 / NUM_FACES)
    assert second.is_new
    assert second.dataset.version != first.dataset.version
    assert second.change == VersionChange(NUM_FACES, NUM_PEOPLE, 0, 1, 0, 0)
    assert second.note == ""


def test_a_share_of_the_people_counts_as_one_of_the_faces_does(lake: Lake) -> None:
    publish(lake)
    lose(lake, *(url_of(PEOPLE[0], line) for line in (3, 7, 8, 9)))
    second = publish(lake, min_change=0.12)
    assert second.is_new
    assert second.change == VersionChange(NUM_FACES, NUM_PEOPLE, 0, 4, 0, 1)


def test_other_settings_make_a_version_however_small_the_change(lake: Lake) -> None:
    first = publish(lake)
    second = publish(lake, min_change=1.0, select=SelectRules(min_face_px=99))
    assert second.is_new
    assert second.change is None
    assert second.dataset.manifest["num_samples"] == first.dataset.manifest["num_samples"]


def test_a_first_version_and_unchanged_content_need_no_share(lake: Lake) -> None:
    first, second = publish(lake, min_change=1.0), publish(lake, min_change=1.0)
    assert (first.is_new, second.is_new) == (True, False)
    assert (first.note, second.note) == ("", "")


@pytest.mark.parametrize(
    ("change", "share"),
    [
        (VersionChange(100, 10, 1, 0, 0, 0), 0.01),
        (VersionChange(100, 10, 1, 3, 0, 0), 0.03),
        (VersionChange(100, 10, 0, 3, 0, 2), 0.2),
        (VersionChange(0, 0, 5, 0, 1, 0), 1.0),
        (VersionChange(100, 10, 0, 0, 0, 0), 0.0),
    ],
)
def test_the_share_is_the_larger_one(change: VersionChange, share: float) -> None:
    assert change.share == pytest.approx(share)


def test_a_version_is_compared_with_the_newest_of_its_settings_though_others_are_newer(lake: Lake) -> None:
    first = publish(lake)
    publish(lake, select=SelectRules(min_face_px=99))
    lose(lake, url_of(PEOPLE[0], 3))
    second = publish(lake, min_change=0.04)
    assert (str(second.dataset), second.is_new) == (str(first.dataset), False)
