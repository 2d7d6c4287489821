"""Merging the small tables of a lake, and what a purge leaves of it."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli.app import app
from storage.files.lake import Lake
from storage.records import Reason
from storage.tables.parquet import write_table
from tasks.fetch.ledger import read_ledger
from tasks.fetch.link_counts import link_counts
from tasks.maintenance.merge import gather_images, merge_all
from tests.buckets import Faults
from tests.tasks.builders import attempt, attempts

FOLDER = "images/some"


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return filled(Lake(tmp_path / "lake"))


def filled(lake: Lake) -> Lake:
    """Three shards of one failed link each; the second was fetched again in the third."""
    for at, (url, reason) in enumerate([("a", Reason.GONE), ("b", Reason.DNS), ("b", Reason.TIMEOUT)]):
        row = attempt(f"http://{url}.example/1", reason, round=at + 1)
        write_table(lake, f"{lake.images('some', f'0000-{at}-aaaaaa')}.parquet", attempts(row))
    return lake


def test_the_ledger_is_the_same_before_and_after(lake: Lake) -> None:
    before = read_ledger(lake, "some")
    assert merge_all(lake) == {FOLDER: 1}
    assert read_ledger(lake, "some").equals(before)
    assert sorted(before["reason"].to_pylist()) == ["gone", "timeout"]
    assert merge_all(lake) == {}


def test_a_command_merges_what_a_lake_holds(lake: Lake) -> None:
    shown = [CliRunner().invoke(app, ["compact", "--lake", lake.url]).output for _ in range(2)]
    assert [one.split() for one in shown] == [["merged", FOLDER, "into", "1", "table"], ["merged", "nothing", "new"]]


def test_the_images_of_a_bucket_are_listed_once_to_be_merged_and_counted(bucket: str, faults: Faults) -> None:
    lake = filled(Lake(f"{bucket}/lake"))
    with faults.asking() as asked:
        gather_images(lake, "some")
    assert sum("list-type" in path and "prefix=lake%2Fimages%2Fsome" in path for _, path in asked) == 1
    kept = link_counts(lake, "some").kept()
    assert kept is not None
    assert sorted(kept["reason"].to_pylist()) == ["gone", "timeout"]
