"""Peer runs: more runs of a deployment that share a stage with this run, on other workers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.deployments import run_deployment
from prefect.exceptions import ObjectNotFound
from prefect.states import Cancelled

from flows.runs.engine import is_recorded
from flows.runs.run_names import run_name
from storage.errors import UsageError


def schedule_run(deployment: str, parameters: Mapping[str, Any]) -> FlowRun:
    """Schedule a run of a deployment, `flow/name`, on a worker of its pool."""
    name = run_name(deployment.partition("/")[0], parameters)
    run = run_deployment(
        deployment,
        parameters=dict(parameters),
        flow_run_name=name,
        timeout=0,
        as_subflow=False,
        _sync=True,  # type: ignore[call-arg]
    )
    return cast(FlowRun, run)


def has_deployment(deployment: str) -> bool:
    """Whether the server on which this run is recorded has the deployment."""
    if not is_recorded():
        return False
    with get_client(sync_client=True) as client:
        try:
            client.read_deployment_by_name(deployment)
        except ObjectNotFound:
            return False
    return True


@contextmanager
def peer_runs(flow: str, num: int, parameters: Mapping[str, Any]) -> Iterator[list[FlowRun]]:
    """Schedule `num` peer runs of a flow; cancel those that have not started when the block ends.

    Raises:
        UsageError: no server has the flow's deployment.
    """
    if not num:
        yield []
        return
    deployment = f"{flow}/{flow}"
    if not has_deployment(deployment):
        raise UsageError(
            f"no server with the deployment {deployment} can start {num} more runs: start `facemill serve`, "
            "and set PREFECT_API_URL to its address"
        )
    runs = [schedule_run(deployment, parameters) for _ in range(num)]
    try:
        yield runs
    finally:
        with get_client(sync_client=True) as client:
            for run in runs:
                if (state := client.read_flow_run(run.id).state) and state.is_scheduled():
                    client.set_flow_run_state(run.id, Cancelled(message="the shared stage is done"))
