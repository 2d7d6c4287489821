"""Runs whose process is gone, on a real server."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from uuid import UUID, uuid4

import pytest
from prefect import flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.settings import PREFECT_API_URL, temporary_settings
from prefect.states import Running

from flows.service.lost_runs import crash_lost_runs, runs_with_a_process


@flow
def work() -> None:
    pass


@pytest.fixture
def client(prefect_server: str) -> Iterator[SyncPrefectClient]:
    with get_client(sync_client=True) as client:
        yield client


@pytest.fixture
def pool(client: SyncPrefectClient) -> str:
    return client.create_work_pool(WorkPoolCreate(name=f"pool-{uuid4().hex[:8]}", type="process")).name


def running(client: SyncPrefectClient, pool: str | None, parent: UUID | None = None) -> UUID:
    flow_id = client.create_flow(work)
    if pool is None:
        return client.create_flow_run(work, state=Running(), parent_task_run_id=parent).id
    deployment = client.create_deployment(flow_id, f"deployment-{uuid4().hex[:8]}", work_pool_name=pool)
    return client.create_flow_run_from_deployment(deployment, state=Running()).id


def test_a_run_without_a_process_is_crashed_and_one_with_a_process_goes_on(
    client: SyncPrefectClient, pool: str
) -> None:
    lost, alive = running(client, pool), running(client, pool)
    environment = {**os.environ, "PREFECT__FLOW_RUN_ID": str(alive)}
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], env=environment)
    try:
        assert alive in runs_with_a_process()
        assert crash_lost_runs(pool, "mine")
    finally:
        process.kill()
        process.wait()
    states = {one: client.read_flow_run(one).state_name for one in (lost, alive)}
    assert states == {lost: "Crashed", alive: "Running"}


def test_runs_of_a_pool_with_another_worker_are_left_alone(client: SyncPrefectClient, pool: str) -> None:
    lost = running(client, pool)
    client.send_worker_heartbeat(pool, "another", heartbeat_interval_seconds=30)
    assert crash_lost_runs(pool, "mine")
    assert client.read_flow_run(lost).state_name == "Running"


def test_nothing_is_known_while_the_server_is_down() -> None:
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:9/api"}):
        assert not crash_lost_runs("cpu", "mine")
