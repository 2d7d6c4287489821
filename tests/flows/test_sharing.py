"""Several runs at the same time on one lake: the units are shared, and what comes out is what one run gives."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from flows.crop import crop
from flows.ingest import ingest
from storage.files.lake import Lake
from storage.tables.parquet import read_table
from synthetic.origin import Origin
from tasks.fetch.ledger import read_ledger
from tests.waiting import committed, wait_until

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def small_units(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eight people make four units."""
    monkeypatch.setattr("tasks.links.plan.IDENTITIES_PER_UNIT", 2)
    monkeypatch.setenv("FACEMILL_UNITS_AT_ONCE", "1")


@pytest.fixture
def fetched(tmp_path: Path, world: Path, origin: Origin) -> Path:
    """A lake into which two runs at a time have fetched the world."""
    lake = tmp_path / "fetched"
    asked: dict[str, Any] = {"links": str(world / "links"), "connect_to": f"127.0.0.1:{origin.port}"}

    async def both() -> list[int]:
        return [one["asked"] for one in await asyncio.gather(ingest(str(lake), **asked), ingest(str(lake), **asked))]

    assert sum(asyncio.run(both())) == len(read_ledger(Lake(lake), "vggface1")), "a link was asked for by both"
    return lake


def faces_of(lake: Path) -> dict[str, list[dict[str, object]]]:
    """The rows of every table of faces and detections, by path."""
    tables = sorted([*lake.glob("faces/**/*.parquet"), *lake.glob("detections/**/*.parquet")])
    return {
        str(path.relative_to(lake)): read_table(Lake(lake), str(path.relative_to(lake))).to_pylist() for path in tables
    }


def start_crop(lake: Path, server: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", "from flows.cli.app import main; main()", "crop", "--lake", str(lake)]
    return subprocess.Popen(command, env={**os.environ, "PREFECT_API_URL": server}, stdout=subprocess.DEVNULL)


def has_detected(lake: Path) -> bool:
    """Whether a table of detections is there for good; some shards hold no accepted picture, and theirs is empty."""
    return any(pq.read_metadata(path).num_rows for path in committed(lake, "detections/*/*.parquet"))


def test_runs_share_what_is_to_fetch_and_to_crop_and_one_killed_for_good_is_made_up_for(
    fetched: Path, tmp_path: Path, prefect_server: str
) -> None:
    lake = Lake(fetched)
    shutil.copytree(fetched, tmp_path / "calm")
    calm = crop(str(tmp_path / "calm"))

    other = start_crop(fetched, prefect_server)
    wait_until("a shard is detected", lambda: has_detected(fetched))
    other.send_signal(signal.SIGSTOP)
    held = set(lake.names("leases/crop/vggface1"))

    def kill_later() -> None:
        wait_until("the second run crops", lambda: bool(set(lake.names("leases/crop/vggface1")) - held))
        other.kill()
        other.wait()

    kill = threading.Thread(target=kill_later)
    kill.start()
    shared = crop(str(fetched))
    kill.join()

    assert held
    assert shared["faces"] == calm["faces"]
    assert 0 < shared["detected"] < calm["detected"]
    assert faces_of(fetched) == faces_of(tmp_path / "calm")
    assert lake.names("leases/crop/vggface1") == []
