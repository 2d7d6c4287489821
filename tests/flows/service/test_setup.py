"""What the service tells a server, on a real one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas import FlowRun
from prefect.states import Failed, Running

from flows.doctor.service_facts import look_at_service
from flows.pipeline import learn, model_name
from flows.publish import STARTS_TRAINING, announce
from flows.runs.peer_runs import peer_runs
from flows.service.schedule import deployments
from flows.service.setup import set_up_server, with_parameters
from flows.service.waiting_runs import name_waiting_runs
from flows.service.work import POOLS
from storage.errors import UsageError
from storage.files.lake import Lake
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
        "refine": set(),
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


def test_the_event_trains_the_dataset_that_a_pipeline_trains_under_the_same_name() -> None:
    (train,) = [one for one in deployments()["deployments"] if one["name"] == "train"]
    (trigger,) = train["triggers"]
    dataset = train["parameters"]["dataset"]
    assert trigger["match"] == {"prefect.resource.id": f"facemill.dataset.{dataset}", STARTS_TRAINING: "yes"}
    assert train["parameters"]["model"] == model_name(dataset)


def test_on_the_schedule_a_pipeline_cleans_and_small_changes_are_neither_published_nor_trained_on() -> None:
    by_name = {one["name"]: one["parameters"] for one in deployments()["deployments"]}
    assert by_name["pipeline"]["clean"]
    assert {by_name[name]["min_change"] for name in ("pipeline", "publish", "train", "refine")} == {0.01}


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
def test_doctor_reads_the_deployments_their_next_and_their_last_runs(deployed: list[str], prefect_server: str) -> None:
    environment = {"PREFECT_API_URL": prefect_server}
    with get_client(sync_client=True) as client:
        run = client.create_flow_run_from_deployment(client.read_deployment_by_name("check/check").id)
        client.set_flow_run_state(run.id, Running(), force=True)
        client.set_flow_run_state(run.id, Failed(message="the disk is full"), force=True)
        # The scheduler of this server is off.
        prune = client.read_deployment_by_name("prune/prune").id
        client.request("POST", "/deployments/{id}/schedule", path_params={"id": prune}, json={"min_runs": 2})
    found = look_at_service(environment, 0, "")
    assert (found.error, found.is_healthy, found.login, found.late) == ("", True, 200, ())
    assert found.workers == {name: [] for name in POOLS}
    assert {name: one is not None for name, one in found.deployed.items()} == {
        one.rpartition("/")[2]: True for one in deployed
    }
    first, second = found.deployed["prune"].upcoming
    assert (second - first).total_seconds() == 24 * 3600
    check = found.deployed["check"]
    assert check.is_scheduled and not check.is_paused and check.last_good is None
    assert (check.last.state, check.last.message) == ("Failed", "the disk is full")


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
def test_the_event_of_a_version_trains_on_it_unless_its_pipeline_does(deployed: list[str], tmp_path: Path) -> None:
    lake = Lake(tmp_path / "lake")
    version = write_dataset(lake, "faces-mtcnn", {"train": 2}, faces_each=2)
    other = write_dataset(lake, "faces-bbox", {"train": 2}, faces_each=2)
    # Events are processed in their order: once the last one has started its run, the others have started none.
    announce(version, starts_training=False)
    announce(other)
    announce(version)
    wait_until("the version is trained on", lambda: bool(runs_on(lake)), every_s=0.25)
    (run,) = runs_on(lake)
    assert run.parameters["dataset"] == str(version)
    assert run.parameters["min_change"] == 0.01
    assert run.work_pool_name == "gpu"
    with get_client(sync_client=True) as client:
        name_waiting_runs(client, {})
    assert [one.name for one in runs_on(lake)] == [f"train on {version} margin 1.0"]


@pytest.mark.slow
@pytest.mark.parametrize("clean", [False, True], ids=["train", "refine"])
def test_a_pipeline_asks_a_server_for_one_run_that_trains_with_the_thresholds_of_its_deployment(
    deployed: list[str], tmp_path: Path, clean: bool
) -> None:
    lake = Lake(tmp_path / "lake")
    published = [{"dataset": f"faces-{method}", "version": "v1"} for method in ("mtcnn", "bbox")]
    training = {"margin": 2.0, "steps": 9, "device": "cpu", "min_change": 0.5}
    settings = {"train.seed": 3, "clean.rounds": 2, "select.min_faces": 3}
    done = learn(lake, lake.url, published, training | {"settings": settings}, clean=clean)
    (run,) = runs_on(lake)
    assert done == {"train": {"flow_run": run.name, "id": str(run.id), "cleans": clean}}
    assert run.work_pool_name == "gpu"
    assert {**run.parameters, "min_change": 0.01} == run.parameters
    assert run.parameters.items() >= {"margin": 2.0, "steps": 9, "device": "cpu", "model": "embedder-bbox"}.items()
    named = {"versions": ["faces-mtcnn@v1", "faces-bbox@v1"]} if clean else {"dataset": "faces-bbox@v1"}
    assert run.parameters.items() >= named.items()
    assert run.parameters["settings"] == (settings if clean else {"train.seed": 3})


def runs_on(lake: Lake) -> list[FlowRun]:
    """The runs that were asked for on a lake."""
    with get_client(sync_client=True) as client:
        return [run for run in client.read_flow_runs() if run.parameters.get("lake") == lake.url]
