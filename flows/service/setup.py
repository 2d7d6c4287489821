"""Set-up of a Prefect server: work pools, the deployments of `prefect.yaml`, and the automation for dead runs."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification

from flows.configuration.setting_groups import of_flow
from flows.service.schedule import deployments
from flows.service.work import HEARTBEAT_S, POOLS, python_module
from storage.errors import ServiceError

# Three missed heartbeats.
_DEAD_AFTER = timedelta(seconds=3 * HEARTBEAT_S)
_HEARTBEAT = "prefect.flow-run.heartbeat"
_ENDS = {f"prefect.flow-run.{state}" for state in ("Completed", "Failed", "Cancelled", "Crashed")}


def set_up_server(parameters: Mapping[str, Any], environment: Mapping[str, str]) -> list[str]:
    """Create or update everything on the server of PREFECT_API_URL. Idempotent.

    Args:
        parameters: values of the deployments' parameters by name; a deployment takes those it has.
        environment: environment of the deploying process.

    Returns:
        The deployments, as `flow/deployment`.

    Raises:
        ServiceError: Prefect rejects a deployment.
    """
    with get_client(sync_client=True) as client:
        _make_pools(client)
        _make_automation(client)
    described = with_parameters(deployments(), parameters)
    _deploy(described, environment)
    return [f"{one['entrypoint'].rpartition('.')[2]}/{one['name']}" for one in described["deployments"]]


def start_page(pages: str, deployment: str) -> str:
    """The page of a deployment in the web UI, where a run can be started.

    Args:
        pages: URL of the web UI.
        deployment: as `flow/deployment`.
    """
    with get_client(sync_client=True) as client:
        return f"{pages}/deployments/deployment/{client.read_deployment_by_name(deployment).id}"


def with_parameters(described: dict[str, Any], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The content of `prefect.yaml` with new values for parameters that its deployments already have.

    Of `settings` each deployment gets those that its flow, which bears the same name, takes.
    """

    def of_deployment(one: dict[str, Any]) -> dict[str, Any]:
        given = {**parameters, "settings": of_flow(parameters.get("settings"), one["name"])}
        return {name: given.get(name, value) for name, value in one.get("parameters", {}).items()}

    changed = [{**one, "parameters": of_deployment(one)} for one in described["deployments"]]
    return {**described, "deployments": changed}


def _make_pools(client: SyncPrefectClient) -> None:
    # No limit on the pool: each worker limits its own machine.
    for name in POOLS:
        client.create_work_pool(WorkPoolCreate(name=name, type="process", concurrency_limit=None), overwrite=True)


def _make_automation(client: SyncPrefectClient) -> None:
    """Mark flow runs without heartbeats crashed: their process and worker were killed, and cannot report it."""
    wanted = AutomationCore(
        name="a run whose heartbeat stops is crashed",
        trigger=EventTrigger(
            after={_HEARTBEAT},
            expect={_HEARTBEAT, *_ENDS},
            match=ResourceSpecification({"prefect.resource.id": ["prefect.flow-run.*"]}),
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=_DEAD_AFTER,
        ),
        actions=[
            ChangeFlowRunState(
                state=StateType.CRASHED, message=f"no heartbeat for {_DEAD_AFTER.seconds} s: the process is gone"
            )
        ],
    )
    for old in client.read_automations_by_name(wanted.name):
        client.delete_automation(old.id)
    client.create_automation(wanted)


def _deploy(described: dict[str, Any], environment: Mapping[str, str]) -> None:
    with tempfile.TemporaryDirectory(prefix="facemill-") as folder:
        file = Path(folder) / "prefect.yaml"
        file.write_text(yaml.safe_dump(described))
        done = subprocess.run(
            [*python_module("prefect"), "--no-prompt", "deploy", "--all", "--prefect-file", str(file)],
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise ServiceError(
            f"prefect deploy --all failed ({done.returncode}): {done.stdout[-2000:]}{done.stderr[-2000:]}"
        )
