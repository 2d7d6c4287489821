"""Names of runs that wait for their start, such as `train on faces-mtcnn@0123456789abcdef margin 1.0`.

Prefect names a run by its parameters when it starts. Until then a run that a schedule or an event creates has two
random words for a name: neither a schedule nor the action `RunDeployment` of an automation takes one (Prefect 3.9). So
the service looks for waiting runs, and names them as their start will.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterState, FlowRunFilterStateType
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.exceptions import ObjectNotFound

from flows.runs.run_names import run_name

_WAITING = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED])))
# One request a look; a run often waits for minutes.
_LOOK_EVERY_S = 5.0
# Name of the flow, and defaults of its parameters.
Deployment = tuple[str, dict[str, Any]]


@contextmanager
def named_runs(every_s: float = _LOOK_EVERY_S) -> Iterator[None]:
    """Name the waiting runs of the server of PREFECT_API_URL while the block runs."""
    stop = threading.Event()
    context = contextvars.copy_context()
    watcher = threading.Thread(target=context.run, args=(_watch, stop, every_s), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        stop.set()
        watcher.join()


def name_waiting_runs(client: SyncPrefectClient, known: dict[UUID, Deployment]) -> None:
    """Name every waiting run of a deployment of ours.

    Args:
        known: the deployments found so far; those of new runs are added.
    """
    for run in client.read_flow_runs(flow_run_filter=_WAITING):
        name = _name(client, run, known)
        if name and name != run.name:
            client.update_flow_run(run.id, name=name)


def _name(client: SyncPrefectClient, run: FlowRun, known: dict[UUID, Deployment]) -> str | None:
    if run.deployment_id is None:
        return None
    if run.deployment_id not in known:
        found = client.read_deployment(run.deployment_id)
        properties = (found.parameter_openapi_schema or {}).get("properties", {})
        defaults = {name: one["default"] for name, one in properties.items() if "default" in one}
        # A flow and its deployment have one name in `prefect.yaml`.
        known[run.deployment_id] = found.name, defaults
    flow, defaults = known[run.deployment_id]
    return run_name(flow, defaults | run.parameters)


def _watch(stop: threading.Event, every_s: float) -> None:
    known: dict[UUID, Deployment] = {}
    while not stop.wait(every_s):
        try:
            with get_client(sync_client=True) as client:
                name_waiting_runs(client, known)
        except (httpx.HTTPError, ObjectNotFound):
            # The server is started again, or a run has just been deleted: the next look finds the others.
            continue
