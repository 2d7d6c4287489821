"""Runs whose worker is gone, on a real server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from uuid import UUID, uuid4

import pytest
from prefect import flow
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Running

from flows.service.lost_runs import crash_lost_runs


@flow
def work() -> None:
    pass


@pytest.fixture
def pool(client: SyncPrefectClient) -> Iterator[str]:
    name = client.create_work_pool(WorkPoolCreate(name=f"pool-{uuid4().hex[:8]}", type="process")).name
    yield name
    for one in client.read_deployments():
        if one.work_pool_name == name:
            client.delete_deployment(one.id)


def running(client: SyncPrefectClient, pool: str, worker: str | None = None) -> UUID:
    deployment = client.create_deployment(
        client.create_flow(work), f"deployment-{uuid4().hex[:8]}", work_pool_name=pool
    )
    run = client.create_flow_run_from_deployment(deployment, state=Running()).id
    if worker is not None:
        client.update_flow_run_labels(run, {"prefect.worker.name": worker})
    return run


def test_what_is_left_of_a_run_ends_with_its_worker_and_it_is_crashed(client: SyncPrefectClient, pool: str) -> None:
    lost, alive = running(client, pool), running(client, pool)
    environment = {**os.environ, "PREFECT__FLOW_RUN_ID": str(alive)}
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(3600)"], env=environment)
    try:
        assert crash_lost_runs(pool, "mine")
        assert process.wait() == -signal.SIGTERM
    finally:
        process.kill()
    assert [client.read_flow_run(one).state_name for one in (lost, alive)] == ["Crashed", "Crashed"]


def test_runs_of_a_worker_on_another_machine_are_left_alone(client: SyncPrefectClient, pool: str) -> None:
    mine, others, unknown = running(client, pool, "mine"), running(client, pool, "another"), running(client, pool)
    client.send_worker_heartbeat(pool, "another", heartbeat_interval_seconds=30)
    assert crash_lost_runs(pool, "mine")
    states = [client.read_flow_run(one).state_name for one in (mine, others, unknown)]
    assert states == ["Crashed", "Running", "Running"]


def test_a_worker_that_has_fallen_silent_may_still_have_its_runs(client: SyncPrefectClient, pool: str) -> None:
    others = running(client, pool, "another")
    assert crash_lost_runs(pool, "mine")
    assert client.read_flow_run(others).state_name == "Running"


def test_nothing_is_known_while_the_server_is_down() -> None:
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}):
        assert not crash_lost_runs("cpu", "mine")
