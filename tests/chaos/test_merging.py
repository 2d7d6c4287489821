"""SIGKILL of `facemill ingest` while it merges indexes, again and again: no row is lost, and none is there twice."""

from __future__ import annotations

import time
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from storage.files.lake import Lake
from storage.tables.merged_tables import MANY
from tasks.fetch.ledger import image_stems, read_ledger
from tasks.links.plan import IDENTITIES_PER_UNIT
from tests.chaos.calm import facemill, running, wait_until
from tests.flows.runs.host_origin import serving_hosts, write_links

pytestmark = pytest.mark.chaos

KILLS = 5
# A run begins to merge when it has written many indexes, one a unit, and goes on fetching until it is killed.
_NUM_UNITS = 2 * MANY * (KILLS + 1)
LINKS = [f"http://{number % 100}.example/{number}.jpg" for number in range(_NUM_UNITS * IDENTITIES_PER_UNIT)]
# A kill comes within this time after a merged table has been begun, which is about as long as a merging takes.
_WITHIN_S = 0.1


def files(folder: Path) -> set[str]:
    """The files of a folder, unfinished ones included."""
    return {path.name for path in folder.iterdir()} if folder.exists() else set()


def has_more(folder: Path, than: set[str]) -> bool:
    return bool(files(folder) - than)


def test_a_fetch_killed_while_it_merges_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    write_links(tmp_path / "links", LINKS, per_person=1)
    lake, rng = Lake(tmp_path / "lake"), np.random.default_rng(0)
    merged = Path(lake.full(lake.merged(lake.images("vggface1"))))
    with serving_hosts() as origin:
        ingest = ["ingest", "--lake", lake.url, "--links", str(tmp_path / "links")]
        ingest += ["--connect-to", f"127.0.0.1:{origin.port}"]
        for _ in range(KILLS):
            begun = partial(has_more, merged, files(merged))
            with running(*ingest) as process:
                wait_until(process, begun)
                time.sleep(rng.uniform(0, _WITHIN_S))
                process.kill()
            found = read_ledger(lake, "vggface1")
            (merged.parent / merged.name).rename(tmp_path / "aside")
            assert read_ledger(lake, "vggface1").equals(found)
            (tmp_path / "aside").rename(merged)
        facemill(*ingest)
    assert Counter(read_ledger(lake, "vggface1")["url"].to_pylist()) == Counter(LINKS)
    stems = image_stems(lake, "vggface1")
    assert len(list(merged.glob("*.parquet"))) < len(stems) // MANY
