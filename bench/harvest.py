"""facemill's fetch, validate and shard alone, without Prefect, as a separate process for `bench.fetch`.

python -m bench.harvest LAKE PORT
"""

from __future__ import annotations

import asyncio
import sys

import pyarrow as pa
import pyarrow.compute as pc
from uvloop import run

from storage.files.lake import Lake
from storage.tables.parquet import read_table
from tasks.fetch.fetch_unit import fetch_unit, to_pending
from tasks.fetch.ledger import pending_new, read_ledger
from tasks.fetch.rare_collections import collect_rarely
from tasks.web.http import ConnectTo, WebTransport, open_web
from tasks.web.limits import FetchLimits

SOURCE = "bench"
_UNITS_AT_ONCE = 4


async def harvest(lake: Lake, port: int, limits: FetchLimits = FetchLimits()) -> None:
    """Fetch all candidates of the lake's plan with the same concurrency as `facemill ingest`."""
    pending = pending_new(read_table(lake, lake.plan(SOURCE)), read_ledger(lake, SOURCE, ["key"]))
    units = pc.unique(pending["unit"]).to_pylist()
    in_flight = limits.concurrency // min(len(units), _UNITS_AT_ONCE)
    turns = asyncio.Semaphore(_UNITS_AT_ONCE)

    async def fetch_one(unit: int, web: WebTransport) -> None:
        async with turns:
            mine: pa.Table = pending.filter(pc.equal(pending["unit"], unit))
            await fetch_unit(lake, SOURCE, unit, to_pending(mine), web, in_flight=in_flight)

    async with open_web(limits, connect_to=ConnectTo("127.0.0.1", port)) as web, asyncio.TaskGroup() as group:
        for unit in units:
            group.create_task(fetch_one(unit, web))


if __name__ == "__main__":
    collect_rarely()
    run(harvest(Lake(sys.argv[1]), int(sys.argv[2])))
