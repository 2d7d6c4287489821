from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from flows.check import links_of_older_rules
from flows.cli.takedown_commands import show_older_rules
from flows.retry import retry
from flows.status import due_for, retry_choice
from storage.files.lake import Lake
from storage.records import CANDIDATES, Reason, url_key
from storage.tables.parquet import rows_to_table, write_table
from tasks.fetch.ledger import RULES
from tasks.fetch.link_counts import link_counts
from tests.opened import opened_files, tables_opened
from tests.tasks.builders import attempt, attempts

URLS = [f"http://a.example/{n}" for n in range(5)]


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    """Links that failed for good, judged by the first rules and by those of today, and one that is due."""
    lake = Lake(tmp_path / "lake")
    candidates = [{"key": url_key(url), "url": url, "unit": 0} for url in URLS]
    write_table(lake, lake.plan("vggface1"), rows_to_table(candidates, CANDIDATES))
    rows = [
        attempt(URLS[0], Reason.BROKEN_IMAGE),
        attempt(URLS[1], Reason.BROKEN_IMAGE, rules=RULES),
        attempt(URLS[2], Reason.GONE),
        attempt(URLS[3], Reason.TIMEOUT, next_try=datetime(2020, 1, 1, tzinfo=UTC)),
        attempt(URLS[4]),
    ]
    write_table(lake, f"{lake.images('vggface1', '0000-0000-aaaaaa')}.parquet", attempts(*rows))
    return lake


def test_final_verdicts_are_asked_for_again_only_when_someone_says_so(lake: Lake) -> None:
    _, due = due_for(lake, "vggface1", retry_choice(None, None))
    assert due == {"timeout": 1}
    _, due = due_for(lake, "vggface1", retry_choice(None, None, also_final=True))
    assert due == {"broken_image": 2, "gone": 1, "timeout": 1}
    pending, due = due_for(lake, "vggface1", retry_choice(["broken_image"], None, also_final=True))
    assert (due, sorted(pending["url"].to_pylist())) == ({"broken_image": 2}, URLS[:2])


def test_verdicts_of_older_rules_are_named_with_the_command_that_asks_again(lake: Lake) -> None:
    lake.write("images/stray.txt", b"no source")
    counts = links_of_older_rules(lake)
    assert counts == {"vggface1": {"broken_image": 1}}
    console = Console(record=True, width=80)
    show_older_rules(console, counts)
    assert "facemill retry --source vggface1 --also-final --reason broken_image" in console.export_text()


def test_a_broken_index_leaves_the_count_out(lake: Lake) -> None:
    lake.write("images/vggface1/0000-0001-bbbbbb.parquet", b"no parquet")
    assert links_of_older_rules(lake) == {}


def test_a_schedule_older_than_the_first_ingest_asks_for_nothing_and_makes_no_lake(tmp_path: Path) -> None:
    lake = tmp_path / "lake"

    assert asyncio.run(retry(str(lake))) == {"due": {}, "asked": 0, "accepted": 0, "rejected": {}}
    assert not lake.exists()


def test_with_nothing_due_no_table_is_read_once_the_links_are_counted(lake: Lake) -> None:
    link_counts(lake, "vggface1").keep()
    with opened_files() as opened:
        pending, due = due_for(lake, "vggface1", retry_choice(["gone"], None))
        nobody, _ = due_for(lake, "vggface1", retry_choice(["dns"], None, also_final=True))
    assert (len(pending), due, len(nobody), tables_opened(opened)) == (0, {}, 0, [])
    whole, _ = due_for(lake, "vggface1", retry_choice(None, None))
    assert pending.schema.names == whole.schema.names


@pytest.mark.parametrize(
    "choice", [{}, {"now": True}, {"also_final": True}, {"archive": True}, {"hosts": ["b.example"]}]
)
def test_counted_or_not_the_same_links_are_due(lake: Lake, choice: dict[str, Any]) -> None:
    hosts = choice.get("hosts")
    asked = retry_choice(None, hosts, **{name: one for name, one in choice.items() if name != "hosts"})
    before = due_for(lake, "vggface1", asked)
    link_counts(lake, "vggface1").keep()
    after = due_for(lake, "vggface1", asked)
    assert (after[0].equals(before[0]), after[1]) == (True, before[1])
