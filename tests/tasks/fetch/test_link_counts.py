"""Counts of links: kept or not, they are those of the ledger."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest

from storage.files.lake import Lake
from storage.records import Outcome, Reason, Takedown, TakedownKind, url_key
from storage.tables.counts import total, totals
from storage.tables.parquet import write_table
from storage.versions.takedowns import record
from tasks.fetch.ledger import accepted, due, image_stems, read_ledger
from tasks.fetch.link_counts import link_counts
from tests.opened import opened_files, tables_opened
from tests.tasks.builders import NOW, attempt, attempts

HOUR = timedelta(hours=1)
A, B, C, D = (f"http://{name}.example/1" for name in "abcd")


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """Links of every kind in two units, one of them fetched again."""
    lake = Lake(tmp_path / "lake")
    put(lake, "0000-0000-aaaaaa", attempt(A), attempt(B, Reason.GONE), attempt(C, Reason.TIMEOUT, next_try=NOW))
    put(lake, "0001-0000-aaaaaa", attempt(D, Reason.DNS, next_try=NOW + HOUR))
    put(lake, "0000-0001-aaaaaa", attempt(B, round=2))
    return lake


def put(lake: Lake, stem: str, *rows) -> None:
    write_table(lake, f"{lake.images('some', stem)}.parquet", attempts(*rows))


def forget(lake: Lake, url: str) -> None:
    record(lake, [Takedown(TakedownKind.URL, url_key(url), None, NOW, "")])


def assert_as_counted_now(lake: Lake) -> None:
    """What the counts tell is what the ledger tells, of any time."""
    counts, ledger = link_counts(lake, "some").now(), read_ledger(lake, "some")
    assert total(counts) == len(ledger)
    assert totals(counts, "reason") == Counter(ledger["reason"].drop_null().to_pylist())
    assert total(accepted(counts)) == len(accepted(ledger))
    for when in (NOW - HOUR, NOW, NOW + HOUR, NOW + 2 * HOUR):
        assert total(due(counts, when)) == len(due(ledger, when))


CHANGES = {
    "nothing": lambda lake: None,
    "a new shard": lambda lake: put(lake, "0001-0001-bbbbbb", attempt(B + "0")),
    "a retry": lambda lake: put(lake, "0001-0001-aaaaaa", attempt(D, Reason.GONE, round=2)),
    "a repaired shard": lambda lake: put(lake, "0001-0000-aaaaaa", attempt(D, Reason.LOST, next_try=NOW)),
    "a lost shard": lambda lake: lake.remove("images/some/0001-0000-aaaaaa.parquet"),
    "a takedown": lambda lake: forget(lake, A),
}


@pytest.mark.parametrize("change", CHANGES)
def test_counts_are_those_of_the_ledger_after(lake: Lake, change: str) -> None:
    link_counts(lake, "some").keep()
    CHANGES[change](lake)
    assert (link_counts(lake, "some").kept() is None) == (change != "nothing")
    assert_as_counted_now(lake)
    link_counts(lake, "some").keep()
    assert link_counts(lake, "some").kept() is not None
    assert_as_counted_now(lake)


def test_kept_counts_are_read_without_the_tables(lake: Lake) -> None:
    link_counts(lake, "some").keep()
    with opened_files() as opened:
        assert totals(link_counts(lake, "some").now(), "outcome")[Outcome.ACCEPTED.value] == 2
    assert tables_opened(opened) == []


def test_a_shard_added_while_they_are_counted_makes_them_unused(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    def listed(*args: object) -> list[str]:
        stems = image_stems(lake, "some")
        put(lake, "0002-0000-bbbbbb", attempt("http://e.example/1"))
        return stems

    monkeypatch.setattr("tasks.fetch.ledger.image_stems", listed)
    link_counts(lake, "some").keep()
    monkeypatch.undo()
    assert link_counts(lake, "some").kept() is None


def test_a_source_without_images_has_no_links(tmp_path: Path) -> None:
    assert total(link_counts(Lake(tmp_path / "none"), "some").now()) == 0
