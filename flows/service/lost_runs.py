"""Runs whose worker was killed: what is left of them is ended, and the server is told, since nobody else would.

A heartbeat that stops tells it too, after 90 s (`setup`); a run that outlived its worker would go on beside the next.
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

# The label by which a worker marks the runs that it starts.
_WORKER = "prefect.worker.name"
_UNDER_WAY = FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.RUNNING, StateType.PENDING]))


def crash_lost_runs(pool: str, worker: str) -> bool:
    """End the runs of `worker` here, and mark them and their subflows crashed. To be called while it is down.

    Runs of other workers are left alone: their processes may be on other machines. A run whose worker is not known,
    since it was killed before it said so, is this one's if the pool has no other worker.

    Returns:
        False if the server does not answer, so that nothing is known.
    """
    try:
        with get_client(sync_client=True) as client:
            owners: set[str | None] = {worker} if _has_others(client, pool, worker) else {worker, None}
            end_runs({run.id for run in _under_way(client, pool, owners)})
            # Some could still say so themselves.
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
