from __future__ import annotations

import asyncio
from pathlib import Path

from flows.retry import retry


def test_a_schedule_older_than_the_first_ingest_asks_for_nothing_and_makes_no_lake(tmp_path: Path) -> None:
    lake = tmp_path / "lake"

    assert asyncio.run(retry(str(lake))) == {"due": {}, "asked": 0, "accepted": 0, "rejected": {}}
    assert not lake.exists()
