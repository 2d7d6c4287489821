"""The stages as Prefect tasks: every name, retry, tag and cache policy on one page.

Only paths, small tables of candidates and summaries are passed between them. Results are never cached: what is done
is known from the lake, so a task that is run again finds its work finished and returns.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

import pyarrow as pa
from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.runtime import task_run

from storage.errors import LeaseLost, UsageError
from storage.lake import Lake
from storage.leases import Lease
from storage.records import Attempt
from tasks.crop import crop_shard, is_cropped
from tasks.crops import CropSettings
from tasks.detect import detect_shard, is_detected
from tasks.detectors import DetectorSettings
from tasks.fetch import Transport, fetch_unit, to_pending
from tasks.ledger import read_ledger, still_pending
from tasks.links import LinksSummary, collect_links
from tasks.publish import Published, Request, publish_source
from tasks.sources import source_named
from tasks.web.http import ConnectTo


def worth_retrying(task: Any, run: Any, state: State[Any]) -> bool:
    """Whether a failed task may do better a second time: not if what was asked for cannot be done, or others do it.

    Looks at `state.data`: asking an async task's state for its result makes Prefect give up retrying (3.8.8).
    """
    return not isinstance(state.data, UsageError | LeaseLost)


_OPTIONS: dict[str, Any] = {"cache_policy": NO_CACHE, "persist_result": False, "retry_condition_fn": worth_retrying}
Progress = Callable[[int], None]


@task(
    name="links",
    task_run_name="links of {source}",
    retries=2,
    retry_delay_seconds=30,
    tags=["network"],
    **_OPTIONS,
)
async def links_task(
    lake: Lake, source: str, location: str | None, connect_to: ConnectTo | None, identities: list[str] | None
) -> LinksSummary:
    """Bring the link lines of a source up to date."""
    return await collect_links(lake, source_named(source), location, connect_to=connect_to, identities=identities)


@task(
    name="fetch",
    task_run_name="fetch {source} unit {unit:03d}",
    retries=2,
    retry_delay_seconds=10,
    tags=["network"],
    **_OPTIONS,
)
async def fetch_task(
    lake: Lake,
    source: str,
    unit: int,
    pending: pa.Table,
    transport: Transport,
    in_flight: int,
    on_attempt: Callable[[Attempt], None],
) -> int:
    """Ask for the pending candidates of one unit; run again after a fault, only for those still pending."""
    if (task_run.run_count or 1) > 1:
        pending = still_pending(pending, read_ledger(lake, source, ["key", "round"]))
    return await fetch_unit(
        lake, source, unit, to_pending(pending), transport, in_flight=in_flight, on_attempt=on_attempt
    )


@task(
    name="crop",
    task_run_name="crop {source} unit {unit:03d}",
    retries=1,
    retry_delay_seconds=10,
    tags=["cpu"],
    **_OPTIONS,
)
def crop_task(
    lake: Lake,
    source: str,
    unit: int,
    lease: Lease,
    stems: list[str],
    lines: pa.Table,
    methods: list[str],
    detector: DetectorSettings,
    crops: CropSettings,
    pool: Executor | None,
    on_image: Progress,
) -> dict[str, int]:
    """Find the faces in the unit's pictures and crop them by each method; what is up to date is left as it is.

    Raises:
        LeaseLost: another run is doing the unit; what is done of it stays.
    """
    done = {"detected": 0, "cropped": 0}

    def on_progress(num: int) -> None:
        lease.check()
        on_image(num)

    for stem in stems:
        lease.check()
        if not is_detected(lake, source, stem, detector):
            summary = detect_shard(lake, source, stem, detector, pool=pool, on_progress=on_progress)
            done["detected"] += summary.num_in
        missing = [
            method for method in methods if not is_cropped(lake, source, stem, lines, method=method, settings=crops)
        ]
        if missing:
            summaries = crop_shard(lake, source, stem, lines, missing, settings=crops, pool=pool)
            done["cropped"] += sum(summary.num_out for summary in summaries.values())
    return done


@task(name="publish", task_run_name="publish {request.name} by {request.method}", tags=["cpu"], **_OPTIONS)
def publish_task(lake: Lake, request: Request, on_sample: Progress) -> Published:
    """Compare all pictures, decide the fate of every line, and publish what is left as a dataset version."""
    return publish_source(lake, request, on_progress=on_sample)
