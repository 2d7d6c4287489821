"""What the service tells a server, on a real one."""

from __future__ import annotations

import os

import pytest
import yaml
from prefect.client.orchestration import get_client

from flows.service.setup import POOLS, ROOT, set_up_server, with_parameters


def test_options_take_the_place_of_the_parameters_that_bear_their_names_and_add_none() -> None:
    described = {"deployments": [{"name": "a", "parameters": {"lake": "./lake", "margin": 1}}, {"name": "b"}]}
    changed = with_parameters(described, {"lake": "/data", "links": "elsewhere"})
    assert [one["parameters"] for one in changed["deployments"]] == [{"lake": "/data", "margin": 1}, {}]


def test_every_parameter_of_the_deployments_is_one_of_its_flow() -> None:
    from prefect import Flow
    from prefect.flows import load_flow_from_entrypoint

    for one in yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]:
        flow: Flow[..., object] = load_flow_from_entrypoint(str(ROOT / one["entrypoint"]))
        assert set(one["parameters"]) <= set(flow.parameters.properties), one["name"]


@pytest.mark.slow
def test_a_server_is_set_up_once_however_often_it_is_done(prefect_server: str) -> None:
    environment = {**os.environ, "PREFECT_API_URL": prefect_server}
    for _ in range(2):
        named = set_up_server({"lake": "/somewhere/lake", "source": "synthetic"}, environment)
    with get_client(sync_client=True) as client:
        pools = {pool.name: pool.concurrency_limit for pool in client.read_work_pools()}
        deployments = client.read_deployments()
        automations = client.read_automations_by_name("a run whose heartbeat stops is crashed")
    assert {name: pools[name] for name in POOLS} == POOLS
    assert len(automations) == 1
    assert len(deployments) == len(named)
    assert {one.parameters["lake"] for one in deployments} == {"/somewhere/lake"}
    scheduled = {one.name for one in deployments if one.schedules}
    assert {"pipeline", "retry"} <= scheduled
