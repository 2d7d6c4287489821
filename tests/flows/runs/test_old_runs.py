"""Which runs are old, and their removal, on a real server."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from prefect import flow, task
from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas import State
from prefect.client.schemas.actions import LogCreate
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId, LogFilter, LogFilterFlowRunId
from prefect.exceptions import ObjectNotFound
from prefect.states import Completed, Failed, Running, Scheduled

from flows.prune import prune
from flows.runs.old_runs import old_runs, remove_runs
from storage.files.lake import Lake
from tests.waiting import wait_until


@task
def step() -> None:
    pass


@flow(name="retry")
def inner(lake: str) -> None:
    step()


@flow(name="pipeline")
def outer(lake: str) -> None:
    inner(lake)


@flow(name="of somebody else")
def foreign(lake: str) -> None:
    pass


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(tmp_path / "lake")


@pytest.fixture
def deployment(client: SyncPrefectClient) -> Iterator[UUID]:
    made = client.create_deployment(client.create_flow(inner), f"deployment-{uuid4().hex[:8]}")
    yield made
    client.delete_deployment(made)


def ended(client: SyncPrefectClient, deployment: UUID, lake: Lake, state: State[Any]) -> UUID:
    run = client.create_flow_run_from_deployment(deployment, parameters={"lake": lake.url}).id
    client.set_flow_run_state(run, state, force=True)
    return run


def old(lake: Lake, before: datetime | None = None) -> set[UUID]:
    return set(chain.from_iterable(old_runs(lake, before or datetime.now(UTC))))


def exists(client: SyncPrefectClient, run: UUID) -> bool:
    try:
        client.read_flow_run(run)
    except ObjectNotFound:
        return False
    return True


def test_a_run_goes_with_those_it_started_and_their_task_runs_and_logs(client: SyncPrefectClient, lake: Lake) -> None:
    outer(lake.url)
    ((child, parent),) = old_runs(lake, datetime.now(UTC))
    runs = FlowRunFilter(id=FlowRunFilterId(any_=[child, parent]))
    logs = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[child, parent]))
    wait_until("the task run is there", lambda: len(client.read_task_runs(flow_run_filter=runs)) >= 1)
    line = LogCreate(name="a", level=20, message="done", timestamp=datetime.now(UTC), flow_run_id=child)
    client.create_logs([line])
    assert len(client.read_logs(logs)) == 1

    assert remove_runs([[child, parent]]) == 2
    assert not exists(client, parent) and not exists(client, child)
    assert client.read_task_runs(flow_run_filter=runs) == []
    wait_until("the log has gone", lambda: not client.read_logs(logs))
    assert old(lake) == set()


def test_the_newest_good_run_of_a_deployment_stays_and_so_does_what_is_young_or_has_not_ended(
    client: SyncPrefectClient, lake: Lake, deployment: UUID
) -> None:
    states: list[State[Any]] = [Completed(), Completed(), Failed()]
    first, good, failed = [ended(client, deployment, lake, one) for one in states]
    then = datetime.now(UTC)
    young = ended(client, deployment, lake, Failed())
    ended(client, deployment, lake, Running())
    ended(client, deployment, lake, Scheduled())
    assert old(lake, then) == {first, failed}
    assert old(lake) == {first, failed, young}
    assert good not in old(lake)


def test_runs_of_other_lakes_and_other_programs_stay(client: SyncPrefectClient, lake: Lake, tmp_path: Path) -> None:
    foreign(lake.url)
    inner(str(tmp_path / "other"))
    assert old(lake) == set()
    assert len(old(Lake(tmp_path / "other"))) == 1


def test_a_run_that_was_started_again_meanwhile_stays(client: SyncPrefectClient, lake: Lake, deployment: UUID) -> None:
    run = ended(client, deployment, lake, Failed())
    families = old_runs(lake, datetime.now(UTC))
    client.set_flow_run_state(run, Running(), force=True)
    assert remove_runs(families) == 0
    assert exists(client, run)


def test_a_run_stays_while_one_that_it_started_goes_on(client: SyncPrefectClient, lake: Lake) -> None:
    outer(lake.url)
    ((child, _),) = old_runs(lake, datetime.now(UTC))
    client.set_flow_run_state(child, Running(), force=True)
    assert old(lake) == set()


def test_prune_counts_runs_by_age_only_and_leaves_those_that_are_younger(
    client: SyncPrefectClient, lake: Lake, deployment: UUID
) -> None:
    run = ended(client, deployment, lake, Failed())
    assert prune(lake.url, keep_last=1)["runs"] is None
    done = prune(lake.url, keep_within="1h")
    assert (done["runs"], done["pruned"]["runs"]) == (0, 0)
    assert exists(client, run)
