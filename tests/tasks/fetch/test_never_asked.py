from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from storage.files.lake import Lake
from storage.records import url_key
from storage.tables.parquet import read_blocks, write_table
from storage.tables.stored_rows import StoredRows
from tasks.fetch import never_asked
from tasks.fetch.ledger import image_stems
from tasks.fetch.never_asked import read_never_asked, urls_never_asked
from tasks.links.plan import plan
from tests.tasks.builders import attempt, attempts
from tests.tasks.image_shards import link_lines

URLS = [f"http://{host}.example/1" for host in "abcde"]
LINES = link_lines(*[("Ada", number, url, None) for number, url in enumerate(URLS)])


def planned(folder: Path, *asked: str) -> Lake:
    """A lake with a plan of `LINES`, of which some were requested."""
    lake = Lake(folder)
    # Row groups of one row, so that the plan is read in several blocks.
    tables = [plan(LINES).slice(row, 1) for row in range(len(URLS))]
    write_table(lake, lake.plan("made"), pa.concat_tables(tables))
    if asked:
        write_table(lake, f"{lake.images('made', '0000-0')}.parquet", attempts(*map(attempt, asked)))
    return lake


@pytest.mark.parametrize("asked", [[], URLS[:1], URLS[1:4], URLS])
def test_the_links_without_an_attempt_are_read_whatever_the_blocks(tmp_path, monkeypatch, asked):
    monkeypatch.setattr("storage.tables.parquet._ROW_GROUP", 1)
    monkeypatch.setattr("storage.tables.parquet._BLOCK_ROWS", 2)
    lake = planned(tmp_path / "lake", *asked)

    found = read_never_asked(lake, "made", image_stems(lake, "made"))

    assert sorted(found["url"].to_pylist()) == [url for url in URLS if url not in asked]
    assert found["tries"].to_pylist() == found["round"].to_pylist() == [0] * len(found)


def test_the_urls_of_a_selection_come_some_at_a_time(monkeypatch):
    monkeypatch.setattr(never_asked, "_URLS_AT_A_TIME", 2)
    ledger = pa.table({"key": pa.array([url_key(URLS[1])], pa.binary(16))})

    found = [some.to_pylist() for some in urls_never_asked(StoredRows.of(LINES), ledger, None, 4)]

    assert found == [[URLS[0], URLS[2]], [URLS[3]]]


@pytest.mark.parametrize(("before", "after"), [(LINES, LINES.slice(1)), (LINES.slice(1), LINES), (LINES, LINES)])
def test_a_plan_that_another_run_replaces_between_two_readings_is_read_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: pa.Table, after: pa.Table
) -> None:
    lake, plans = planned(tmp_path / "lake", URLS[2]), [after]
    write_table(lake, lake.plan("made"), plan(before))

    def replacing(*args: Any, **options: Any) -> Iterator[pa.Table]:
        while plans:
            write_table(lake, lake.plan("made"), plan(plans.pop()))
        return read_blocks(*args, **options)

    monkeypatch.setattr("tasks.fetch.never_asked.read_blocks", replacing)
    found = read_never_asked(lake, "made", image_stems(lake, "made"))
    wanted = [url for url in after["url"].to_pylist() if url != URLS[2]]
    assert sorted(found["url"].to_pylist()) == wanted
