"""Old flow runs of a lake on Prefect's server: which of them `prune` removes, and their removal.

With a flow run its task runs and its logs go. Its artifacts have no owner then, and the server removes them itself, as
it does old events (`flows.service.retention`). The server could remove old runs too, but it would not keep the newest
good run of a deployment that has failed ever since.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, cast
from uuid import UUID

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterEndTime,
    FlowRunFilterId,
    FlowRunFilterParentFlowRunId,
    FlowRunFilterParentTaskRunId,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import TERMINAL_STATES, FlowRun, StateType
from prefect.client.schemas.sorting import FlowRunSort

from flows.runs.run_names import RUN_NAMES
from storage.errors import FacemillError
from storage.files.lake import Lake

# Runs that the server returns to a query, and those that it removes on a request, at most.
_A_PAGE, _AT_ONCE = 200, 50
_ENDED = FlowRunFilterState(type=FlowRunFilterStateType(any_=sorted(TERMINAL_STATES)))
_GOOD = FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.COMPLETED]))
_OURS = FlowFilter(name=FlowFilterName(any_=list(RUN_NAMES)))


def old_runs(lake: Lake, before: datetime) -> list[list[UUID]]:
    """The old runs of a lake on the server of PREFECT_API_URL, each after the runs that it has started itself.

    A run is old if it and all that it has started ended before the given time. The newest good run of each deployment
    is none, nor are runs of other lakes and of other programs, which a server may have too.

    Args:
        before: the time before which an old run has ended.
    """
    with get_client(sync_client=True) as client:
        roots = [run for run in _ended_roots(client, before) if _is_of(lake, run)]
        kept = {_newest_good(client, one) for one in {run.deployment_id for run in roots} if one}
        families = (_family(client, run) for run in roots if run.id not in kept)
        return [
            [run.id for run in family]
            for family in families
            if all(_is_old(run, before) and run.id not in kept for run in family)
        ]


def remove_runs(families: Iterable[Iterable[UUID]]) -> int:
    """Remove runs from the server of PREFECT_API_URL, but none that somebody has started again meanwhile.

    Args:
        families: as `old_runs` returns them. A killed call leaves runs without those they started, not the reverse.

    Returns:
        The number of removed runs.
    """
    runs = [run for family in families for run in family]
    with get_client(sync_client=True) as client:
        return sum(_remove(client, runs[at : at + _AT_ONCE]) for at in range(0, len(runs), _AT_ONCE))


def _ended_roots(client: SyncPrefectClient, before: datetime) -> list[FlowRun]:
    chosen = FlowRunFilter(
        state=_ENDED,
        end_time=FlowRunFilterEndTime(before_=before),
        parent_task_run_id=FlowRunFilterParentTaskRunId(is_null_=True),
    )
    return _all(client, chosen, _OURS)


def _all(client: SyncPrefectClient, chosen: FlowRunFilter, flows: FlowFilter | None = None) -> list[FlowRun]:
    found: list[FlowRun] = []
    while True:
        page = client.read_flow_runs(
            flow_filter=flows, flow_run_filter=chosen, sort=FlowRunSort.ID_DESC, limit=_A_PAGE, offset=len(found)
        )
        found += page
        if len(page) < _A_PAGE:
            return found


def _is_of(lake: Lake, run: FlowRun) -> bool:
    try:
        return Lake(run.parameters["lake"]).url == lake.url
    except (KeyError, TypeError, FacemillError):
        return False


def _newest_good(client: SyncPrefectClient, deployment: UUID) -> UUID | None:
    found = client.read_flow_runs(
        deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[deployment])),
        flow_run_filter=FlowRunFilter(state=_GOOD),
        sort=FlowRunSort.END_TIME_DESC,
        limit=1,
    )
    return found[0].id if found else None


def _family(client: SyncPrefectClient, root: FlowRun) -> list[FlowRun]:
    """A run after all that it has started, and these have."""
    family, generation = [root], [root]
    while generation:
        parents = FlowRunFilterParentFlowRunId(any_=[run.id for run in generation])
        generation = _all(client, FlowRunFilter(parent_flow_run_id=parents))
        family += generation
    return family[::-1]


def _is_old(run: FlowRun, before: datetime) -> bool:
    return run.state_type in TERMINAL_STATES and run.end_time is not None and run.end_time < before


def _remove(client: SyncPrefectClient, runs: Iterable[UUID]) -> int:
    """Remove runs that have ended: the server looks at their states in the transaction that removes them."""
    chosen = FlowRunFilter(id=FlowRunFilterId(any_=list(runs)), state=_ENDED)
    path = cast(Any, "/flow_runs/bulk_delete")  # a route that Prefect's client has no method for (3.9)
    answer = client.request("POST", path, json={"flow_runs": chosen.model_dump(mode="json"), "limit": _AT_ONCE})
    return len(answer.raise_for_status().json()["deleted"])
