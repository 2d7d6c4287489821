"""Runs whose process was killed together with its worker: nobody is left to tell the server, so the service does.

A heartbeat that stops tells it too, after 90 s (`setup`). Until then such a run holds its place in the pool, and the
runs after it wait for nothing.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterParentFlowRunId,
    FlowRunFilterState,
    FlowRunFilterStateType,
    WorkPoolFilter,
    WorkPoolFilterName,
)
from prefect.client.schemas.objects import FlowRun, StateType, WorkerStatus
from prefect.states import Crashed

# What a worker puts into the environment of a run's process.
_RUN_ID = b"PREFECT__FLOW_RUN_ID="
# The label by which a worker marks the runs that it starts.
_WORKER = "prefect.worker.name"
_UNDER_WAY = FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.RUNNING, StateType.PENDING]))


def crash_lost_runs(pool: str, worker: str) -> bool:
    """Mark the runs of `worker` crashed that have no process here, and their subflows. To be called while it is down.

    Runs of other workers are left alone: their processes may be on other machines. A run whose worker is not known,
    since it was killed before it said so, is this one's if the pool has no other worker.

    Returns:
        False if the server does not answer, so that nothing is known.
    """
    try:
        with get_client(sync_client=True) as client:
            owners = {worker} if _has_others(client, pool, worker) else {worker, None}
            alive = runs_with_a_process()
            for run in _under_way(client, pool):
                if run.labels.get(_WORKER) in owners and run.id not in alive:
                    _crash(client, run)
    except httpx.HTTPError:
        return False
    return True


def runs_with_a_process(proc: Path = Path("/proc")) -> set[UUID]:
    """The flow runs that have a process on this machine."""
    found: set[UUID] = set()
    for environment in proc.glob("[0-9]*/environ"):
        # A process may end while it is looked at, or belong to somebody else.
        with suppress(OSError):
            words = environment.read_bytes().split(b"\0")
            found |= {UUID(word.removeprefix(_RUN_ID).decode()) for word in words if word.startswith(_RUN_ID)}
    return found


def _has_others(client: SyncPrefectClient, pool: str, worker: str) -> bool:
    known = client.read_workers_for_work_pool(pool)
    return any(one.name != worker and one.status is WorkerStatus.ONLINE for one in known)


def _under_way(client: SyncPrefectClient, pool: str) -> list[FlowRun]:
    return client.read_flow_runs(
        work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[pool])),
        flow_run_filter=FlowRunFilter(state=_UNDER_WAY),
    )


def _crash(client: SyncPrefectClient, run: FlowRun) -> None:
    parent = FlowRunFilterParentFlowRunId(any_=[run.id])
    for inner in client.read_flow_runs(flow_run_filter=FlowRunFilter(state=_UNDER_WAY, parent_flow_run_id=parent)):
        _crash(client, inner)
    client.set_flow_run_state(run.id, Crashed(message="its process is gone"), force=True)
