"""Small tables are merged while a run goes on, and never at the price of the run."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.ingest import ingest
from flows.runs.table_merger import TableMerger
from flows.telemetry.progress import Track
from storage.files.lake import Lake
from storage.records import Reason
from storage.tables.merged_tables import MANY
from storage.tables.parquet import write_table
from tasks.fetch.ledger import read_ledger
from tasks.maintenance.merge import merge_images
from tests.flows.runs.host_origin import serving_hosts, write_links
from tests.tasks.builders import attempt, attempts
from tests.waiting import GUARD_S, wait_until


@pytest.fixture(autouse=True)
def without_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("FACEMILL_LOG", "json")
    logging.getLogger("facemill").propagate = True
    with temporary_settings(restore_defaults={PREFECT_API_URL}):
        yield


def test_a_fetch_merges_the_indexes_while_links_are_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.fetch.fetch_unit.ATTEMPTS_PER_SHARD", 1)
    monkeypatch.setenv("FACEMILL_SILENCE_S", str(GUARD_S))
    monkeypatch.setenv("FACEMILL_CONCURRENCY", str(concurrency := 32))
    links = [f"http://{number % 16}.example/{number}.jpg" for number in range(2 * MANY)]
    write_links(tmp_path / "links", links, per_person=2)
    lake = Lake(tmp_path / "lake")
    merged = lake.merged(lake.images("vggface1"))
    with serving_hosts() as origin, ThreadPoolExecutor(1) as pool:

        def hold_the_rest() -> None:
            wait_until("many are answered", lambda: sum(origin.requests.values()) > MANY + concurrency)
            origin.may_answer = lambda: bool(lake.names(merged))
            wait_until("indexes are merged", lambda: bool(lake.names(merged)))

        held = pool.submit(hold_the_rest)
        asyncio.run(ingest(lake.url, links=str(tmp_path / "links"), connect_to=f"127.0.0.1:{origin.port}"))
        held.result()
    found = read_ledger(lake, "vggface1")
    assert sorted(found["url"].to_pylist()) == sorted(links)
    lake.remove(lake.merged())
    assert read_ledger(lake, "vggface1").equals(found)


def write_indexes(lake: Lake) -> None:
    for at in range(MANY):
        row = attempt(f"http://a.example/{at}", Reason.GONE)
        write_table(lake, f"{lake.images('some', f'0000-{at:04d}-aaaaaa')}.parquet", attempts(row))


def test_a_run_merges_once_for_many_tables_and_logs_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lake = Lake(tmp_path / "lake")
    write_indexes(lake)
    with TableMerger(partial(merge_images, lake, "some"), Track("fetch", 9)) as merger:
        for _ in range(MANY - 1):
            merger.wrote()
        assert capsys.readouterr().err == ""
        merger.wrote()
    (line,) = capsys.readouterr().err.splitlines()
    assert json.loads(line).items() >= {"event": "merged", "name": "fetch", "tables": 1}.items()


def test_while_tables_are_merged_no_second_merging_starts() -> None:
    may_end, num_merged = threading.Event(), 0

    def merge() -> int:
        nonlocal num_merged
        num_merged += 1
        may_end.wait()
        return 1

    with TableMerger(merge, Track("fetch", 9)) as merger:
        merger.wrote(MANY)
        merger.wrote(5 * MANY)
        may_end.set()
    assert num_merged == 1


def test_a_merging_that_fails_is_a_warning_and_an_error_of_the_code_is_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    lake = Lake(tmp_path / "lake")
    write_indexes(lake)
    Path(lake.full(f"{lake.images('some', '0000-0003-aaaaaa')}.parquet")).write_bytes(b"no table")
    with TableMerger(partial(merge_images, lake, "some"), Track("fetch", 9)) as merger:
        merger.wrote(MANY)
    assert "small tables are not merged yet" in caplog.text
    assert lake.names(lake.merged(lake.images("some"))) == []
    with pytest.raises(ZeroDivisionError), TableMerger(lambda: 1 // 0, Track("fetch", 9)) as merger:
        merger.wrote(MANY)
