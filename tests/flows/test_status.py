"""Counts of a lake to which other runs are writing."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.status import lake_status
from storage.files.lake import Lake
from tests.tasks.made_lake import LINES, MALFORMED, PEOPLE, SOURCE, STEM, make_lake
from tests.vanishing import removed_once_listed


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return make_lake(tmp_path / "lake")


def test_a_source_whose_first_lines_are_being_written_is_not_there_yet(lake: Lake) -> None:
    before = lake_status(lake)["sources"]
    folder = Path(lake.full("links/other"))
    folder.mkdir()
    (folder / ".tmp-0123.parquet").write_bytes(b"PAR1")
    assert lake_status(lake)["sources"] == before


def test_a_source_whose_rejected_lines_are_not_written_yet_has_none(lake: Lake) -> None:
    assert lake_status(lake)["sources"][SOURCE]["rejected_lines"] == MALFORMED
    lake.remove_file(lake.links(SOURCE, "rejected.parquet"))
    lake.remove_file(lake.plan(SOURCE))
    found = lake_status(lake)["sources"][SOURCE]
    assert (found["links"], found["rejected_lines"], found["candidates"]) == (len(PEOPLE) * len(LINES), 0, 0)


def test_faces_that_another_run_begins_to_crop_again_are_not_counted(lake: Lake) -> None:
    before = lake_status(lake)["sources"][SOURCE]["faces"]
    with removed_once_listed(f"{lake.faces('bbox', SOURCE, STEM)}.parquet"):
        assert lake_status(lake)["sources"][SOURCE]["faces"] == {"bbox": 0, "mtcnn": before["mtcnn"]}
