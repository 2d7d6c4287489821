"""What the service tells a server, on a real one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas import FlowRun
from prefect.states import Running

from flows.peer_runs import peer_runs
from flows.pipeline import AS_DEPLOYED, TRAINED_BY_EVENT, model_name, start_training
from flows.publish import announce
from flows.service.setup import deployments, set_up_server, with_parameters
from flows.service.waiting_runs import name_waiting_runs
from flows.service.work import POOLS
from storage.errors import UsageError
from storage.lake import Lake
from tests.model.conftest import write_dataset
from tests.waiting import wait_until


def test_options_take_the_place_of_the_parameters_that_bear_their_names_and_add_none() -> None:
    described = {"deployments": [{"name": "a", "parameters": {"lake": "./lake", "margin": 1}}, {"name": "b"}]}
    changed = with_parameters(described, {"lake": "/data", "links": "elsewhere"})
    assert [one["parameters"] for one in changed["deployments"]] == [{"lake": "/data", "margin": 1}, {}]


def test_each_deployment_gets_the_settings_that_its_flow_takes() -> None:
    settings = {"select.min_faces": 3, "fetch.total_s": 5.0, "train.steps": 7}
    changed = with_parameters(deployments(), {"settings": settings})["deployments"]
    given = {one["name"]: set(one["parameters"].get("settings", {})) for one in changed}
    assert given == {
        "ingest": {"fetch.total_s"},
        "retry": {"fetch.total_s"},
        "crop": set(),
        "publish": {"select.min_faces"},
        "train": {"train.steps"},
        "experiment": {"train.steps"},
        "pipeline": set(settings),
        "check": set(),
        "prune": set(),
    }


def test_every_parameter_of_a_deployment_is_one_of_its_flow_and_is_described_in_the_form() -> None:
    from prefect import Flow
    from prefect.flows import load_flow_from_entrypoint

    for one in deployments()["deployments"]:
        flow: Flow[..., object] = load_flow_from_entrypoint(one["entrypoint"])
        assert set(one["parameters"]) <= set(flow.parameters.properties), one["name"]
        assert [name for name, form in flow.parameters.properties.items() if not form.get("description")] == [], one[
            "name"
        ]


@pytest.mark.parametrize(
    ("dataset", "model"),
    [
        ("faces-mtcnn", "embedder"),
        ("faces-bbox", "embedder-bbox"),
        ("faces-agree", "embedder-agree"),
        ("lab-mtcnn", "embedder-lab-mtcnn"),
        ("faces-old-mtcnn", "embedder-faces-old-mtcnn"),
    ],
)
def test_a_model_name_belongs_to_one_dataset(dataset: str, model: str) -> None:
    assert model_name(dataset) == model


def test_the_event_trains_the_dataset_that_a_pipeline_in_a_terminal_trains_under_the_same_name() -> None:
    (train,) = [one for one in deployments()["deployments"] if one["name"] == "train"]
    (trigger,) = train["triggers"]
    assert trigger["match"] == {"prefect.resource.id": f"facemill.dataset.{TRAINED_BY_EVENT}"}
    assert train["parameters"]["dataset"] == TRAINED_BY_EVENT
    assert train["parameters"]["model"] == model_name(TRAINED_BY_EVENT)


@pytest.fixture(scope="module")
def deployed(prefect_server: str) -> Iterator[list[str]]:
    """The deployments of a server set up twice; gone afterwards, since a pipeline leaves training to them."""
    # As systemd starts it: nothing says where the code is.
    environment = {name: value for name, value in os.environ.items() if name != "PWD"}
    environment["PREFECT_API_URL"] = prefect_server
    for _ in range(2):
        named = set_up_server({"lake": "/somewhere/lake", "source": "synthetic"}, environment)
    yield named
    with get_client(sync_client=True) as client:
        for one in client.read_deployments():
            client.delete_deployment(one.id)


@pytest.mark.slow
def test_a_server_is_set_up_once_however_often_it_is_done(deployed: list[str]) -> None:
    with get_client(sync_client=True) as client:
        pools = {pool.name: pool.concurrency_limit for pool in client.read_work_pools()}
        made = client.read_deployments()
        for name in ("a run whose heartbeat stops is crashed", "a published dataset version is trained on"):
            assert len(client.read_automations_by_name(name)) == 1
    assert {name: pools[name] for name in POOLS} == dict.fromkeys(POOLS)
    assert len(made) == len(deployed)
    assert {one.parameters["lake"] for one in made} == {"/somewhere/lake"}
    # Imported from the installed package, wherever a worker runs.
    assert [one.name for one in made if one.pull_steps or one.path or ":" in str(one.entrypoint)] == []
    scheduled = {one.name for one in made if one.schedules}
    assert {"pipeline", "retry", "prune"} <= scheduled


@pytest.mark.slow
def test_runs_beside_a_pipeline_are_asked_of_its_deployments_and_those_that_never_began_are_cancelled(
    deployed: list[str],
) -> None:
    parameters = {"lake": "/shared/lake", "source": "synthetic", "method": "both", "settings": {}}
    with get_client(sync_client=True) as client:
        with peer_runs("crop", 2, parameters) as asked:
            first, second = [client.read_flow_run(run.id) for run in asked]
            assert first.state.is_scheduled() and second.parameters == parameters
            assert first.work_pool_name == "cpu"
            client.set_flow_run_state(first.id, Running(), force=True)
        assert client.read_flow_run(first.id).state.is_running()
        assert client.read_flow_run(second.id).state.is_cancelled()


def test_runs_beside_a_pipeline_need_a_server_that_has_them(prefect_server: str) -> None:
    with pytest.raises(UsageError, match=r"can start 1 more runs: start `facemill serve`"):  # noqa: SIM117
        with peer_runs("nothing", 1, {}):
            raise AssertionError("it began without them")


@pytest.mark.slow
def test_a_published_version_is_trained_on_by_its_event_and_the_pipeline_asks_for_no_second_run(
    deployed: list[str], tmp_path: Path
) -> None:
    lake = Lake(tmp_path / "lake")
    version = write_dataset(lake, "faces-mtcnn", {"train": 2}, faces_each=2)
    other = write_dataset(lake, "faces-bbox", {"train": 2}, faces_each=2)
    announce(other)
    announce(version)
    wanted = {"lake": lake.url, "dataset": str(version)}
    with get_client(sync_client=True) as client:
        runs: list[FlowRun] = []

        def is_started() -> bool:
            runs[:] = [run for run in client.read_flow_runs() if wanted.items() <= run.parameters.items()]
            return bool(runs)

        wait_until("the version is trained on", is_started, every_s=0.25)
        published = [{"dataset": version.name, "version": version.version, "is_new": True}]
        own = {"margin": 2.0, "steps": None, "device": "auto"}
        assert start_training(published, AS_DEPLOYED, lake.url) == {"flow_run": None}
        assert start_training(published, own, lake.url)["flow_run"] == f"train on {version} margin 2.0"
        asked = [run for run in client.read_flow_runs() if wanted.items() <= run.parameters.items()]
        (deployment,) = {run.deployment_id for run in runs}
        name_waiting_runs(client, {})
        assert {client.read_flow_run(run.id).name for run in runs} == {f"train on {version} margin 1.0"}
        assert client.read_deployment(str(deployment)).work_pool_name == "gpu"
        told = {"dataset": other.name, "version": other.version, "is_new": True}
        assert start_training([told], AS_DEPLOYED, lake.url)["flow_run"]
        trained = [run.parameters for run in client.read_flow_runs() if run.parameters.get("lake") == lake.url]
    assert sorted(run.parameters.get("margin", 1.0) for run in asked) == [1.0, 2.0]
    # The event of the other dataset started nothing: the run that was asked for is the only one, under its own name.
    assert [one["model"] for one in trained if one["dataset"] == str(other)] == ["embedder-bbox"]
