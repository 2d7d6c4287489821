from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from storage.files.lake import Lake
from storage.records import Reason
from storage.tables.parquet import write_table
from tasks.fetch.consent import contacts_outside, has_consent, record_consent
from tasks.links.sources import source_named
from tests.tasks.builders import attempt, attempts


@pytest.mark.parametrize(
    ("source", "links", "connect_to", "outside"),
    [
        ("vggface1", None, None, True),
        ("vggface1", "/some/links", None, True),
        ("vggface1", "/some/links", "10.0.0.5:8000", True),
        ("vggface1", "/some/links", "proxy.example:80", True),
        ("vggface1", "/some/links", "127.0.0.1:8000", False),
        ("vggface1", None, "127.1.2.3:8000", False),
        ("vggface1", None, "[::1]:8000", False),
        ("vggface1", None, "[::ffff:127.0.0.1]:8000", False),
        ("vggface1", None, "localhost:8000", False),
        ("vggface2", "/some/folder", None, False),
        ("synthetic", None, None, False),
        ("synthetic", "/some/links", None, True),
    ],
)
def test_requests_to_this_machine_and_folders_ask_nobody_outside(
    source: str, links: str | None, connect_to: str | None, outside: bool
) -> None:
    assert contacts_outside(source_named(source), links, connect_to) is outside


def test_a_yes_is_remembered_for_its_source_alone(tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    assert not has_consent(lake, "vggface1")
    record_consent(lake, "vggface1", by="ada", told="12 links")
    assert has_consent(lake, "vggface1")
    assert not has_consent(lake, "synthetic")
    kept = lake.read_json(lake.links("vggface1", "consent.json"))
    assert (kept["by"], kept["told"]) == ("ada", "12 links")


@pytest.mark.parametrize(
    ("row", "known"),
    [
        ({"address": "93.184.215.14", "http_status": 200}, True),
        ({"address": None, "http_status": 200}, True),
        ({"address": "127.0.0.1", "http_status": 200}, False),
        ({"address": "::1", "http_status": 404, "reason": Reason.GONE}, False),
        ({"address": None, "http_status": None, "reason": Reason.DNS}, False),
    ],
)
def test_a_lake_that_hosts_outside_have_answered_is_not_asked_again(
    tmp_path: Path, row: dict[str, Any], known: bool
) -> None:
    lake = Lake(tmp_path / "lake")
    reason = row.pop("reason", None)
    write_table(
        lake, f"{lake.images('vggface1', '0000-0')}.parquet", attempts(attempt("http://a.example/1", reason, **row))
    )
    assert has_consent(lake, "vggface1") is known
