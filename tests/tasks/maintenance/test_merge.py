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
from tasks.maintenance.merge import merge_all
from tests.tasks.builders import attempt, attempts

FOLDER = "images/some"


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """Three shards of one failed link each; the second was fetched again in the third."""
    lake = Lake(tmp_path / "lake")
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
