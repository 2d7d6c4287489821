"""Set-up of a Prefect server: work pools, the deployments of `prefect.yaml`, and the automations."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate

from flows.configuration.setting_groups import of_flow
from flows.service.automations import make_automations
from flows.service.schedule import deployments
from flows.service.work import POOLS, python_module
from storage.errors import ServiceError


def set_up_server(parameters: Mapping[str, Any], environment: Mapping[str, str], notify: str = "") -> list[str]:
    """Create or update everything on the server of PREFECT_API_URL. Idempotent.

    Args:
        parameters: values of the deployments' parameters by name; a deployment takes those it has.
        environment: environment of the deploying process.
        notify: notification block by which people are told, as for `make_automations`.

    Returns:
        The deployments, as `flow/deployment`.

    Raises:
        ServiceError: Prefect rejects a deployment.
        UsageError: the notification block cannot be used.
    """
    with get_client(sync_client=True) as client:
        _make_pools(client)
        make_automations(client, notify)
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
