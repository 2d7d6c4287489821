"""Clean-up of runs whose worker was killed: end their processes, and mark them crashed on the server.

A missing heartbeat marks them too, after 90 s (`setup`). A run that outlives its worker would continue next to the
following run.
"""

from __future__ import annotations

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

from flows.service.run_processes import end_runs

# The label that a worker puts on the runs it starts.
_WORKER = "prefect.worker.name"
_UNDER_WAY = FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.RUNNING, StateType.PENDING]))


def crash_lost_runs(pool: str, worker: str) -> bool:
    """End the runs of `worker` on this machine, and mark them and their subflows crashed. Call while it is down.

    Runs of other workers are left alone: their processes may be on other machines. A run without a worker label, whose
    worker was killed before setting it, belongs to this worker if the pool has no other.

    Returns:
        False if the server does not respond, so that nothing is known.
    """
    try:
        with get_client(sync_client=True) as client:
            owners: set[str | None] = {worker} if _has_others(client, pool, worker) else {worker, None}
            end_runs({run.id for run in _under_way(client, pool, owners)})
            # Some may still report it themselves.
            for run in _under_way(client, pool, owners):
                _crash(client, run)
    except httpx.HTTPError:
        return False
    return True


def _has_others(client: SyncPrefectClient, pool: str, worker: str) -> bool:
    known = client.read_workers_for_work_pool(pool)
    return any(one.name != worker and one.status is WorkerStatus.ONLINE for one in known)


def _under_way(client: SyncPrefectClient, pool: str, owners: set[str | None]) -> list[FlowRun]:
    runs = client.read_flow_runs(
        work_pool_filter=WorkPoolFilter(name=WorkPoolFilterName(any_=[pool])),
        flow_run_filter=FlowRunFilter(state=_UNDER_WAY),
    )
    return [run for run in runs if run.labels.get(_WORKER) in owners]


def _crash(client: SyncPrefectClient, run: FlowRun) -> None:
    parent = FlowRunFilterParentFlowRunId(any_=[run.id])
    for inner in client.read_flow_runs(flow_run_filter=FlowRunFilter(state=_UNDER_WAY, parent_flow_run_id=parent)):
        _crash(client, inner)
    client.set_flow_run_state(run.id, Crashed(message="its worker is gone"), force=True)
