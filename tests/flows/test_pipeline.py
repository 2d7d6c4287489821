"""The whole road on a small made world: what comes out is right, and nothing is done twice."""

from __future__ import annotations

import asyncio
import itertools
from pathlib import Path
from typing import Any

import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.sorting import ArtifactSort

from flows.pipeline import pipeline
from flows.publish import publish
from flows.status import lake_status
from storage.files.lake import Lake
from storage.versions.datasets import all_versions, open_dataset
from synthetic.origin import Origin
from tests.flows.grading import accepted_urls, dataset_urls, expected, linked_urls, read_truth

pytestmark = pytest.mark.slow
# With so many wrong faces expected, a model of four steps doubts some.
DOUBTS = {"clean.wrong_share": 0.2}


def run(lake: Path, world: Path, origin: Origin, steps: int = 4, **options: Any) -> dict[str, Any]:
    return asyncio.run(
        pipeline(str(lake), links=str(world / "links"), connect_to=f"127.0.0.1:{origin.port}", steps=steps, **options)
    )


def files_of(lake: Path) -> dict[str, int]:
    return {str(path.relative_to(lake)): path.stat().st_mtime_ns for path in lake.rglob("*") if path.is_file()}


def test_a_run_gives_datasets_by_both_methods_and_a_model_the_next_one_cleans_them_and_a_third_does_nothing(
    tmp_path: Path, world: Path, origin: Origin
) -> None:
    folder = tmp_path / "lake"
    first = run(folder, world, origin, settings=DOUBTS)
    every_artifact_has_a_description()
    lake = Lake(folder)

    truth = read_truth(world)
    assert expected(world, "accepted") <= accepted_urls(lake)
    assert {one.name for one in all_versions(lake)} == {"faces-bbox", "faces-mtcnn"}
    for urls in dataset_urls(lake).values():
        assert {truth[url]["expect"] for url in urls} == {"accepted"}
    assert set(first["train"]) >= {"model", "version", "auc", "untrained_auc"}
    for one in first["publish"]:
        stages = one["funnel"]["stages"]
        assert stages[0]["num_in"] == sum(len(path.read_text().splitlines()) for path in (world / "links").iterdir())
        assert stages[-1]["num_out"] == one["samples"]
        for before, after in itertools.pairwise(stages):
            assert before["num_out"] == after["num_in"]
        for stage in stages:
            assert stage["num_in"] == stage["num_out"] + sum(stage["rejected"].values())

    status = lake_status(lake)["sources"]["vggface1"]
    assert status["candidates"] == len(linked_urls(world))
    assert status["accepted"] + sum(status["rejected"].values()) == status["candidates"]
    assert status["due"] == 0

    asked = origin.num_requests
    second = run(folder, world, origin, settings=DOUBTS, clean=True)
    assert origin.num_requests == asked
    assert second["crop"]["detected"] == second["crop"]["cropped"] == 0
    assert not any(one["is_new"] for one in second["publish"])
    assert not second["train"]["is_new"]
    its_versions_are_cleaned(lake, first, second)

    files = files_of(folder)
    third = run(folder, world, origin, settings=DOUBTS, clean=True)
    assert third["train_cleaned"] == second["train_cleaned"] | {"is_new": False}
    changed = {name for name, when in files_of(folder).items() if files.get(name) != when}
    assert changed == set()
    a_listed_person_is_left_out(lake, tmp_path / "names.txt")


def every_artifact_has_a_description() -> None:
    with get_client(sync_client=True) as client:
        artifacts = client.read_artifacts(sort=ArtifactSort.CREATED_DESC, limit=60)
    # Those without a key are Prefect's own, of runs before this one.
    described = {artifact.key: artifact.description for artifact in artifacts if artifact.key}
    wanted = {"fetch-pictures", "crop-faces", "dataset-bbox", "dataset-mtcnn", "training", "model", "pipeline"}
    assert wanted <= described.keys()
    assert [key for key, description in described.items() if not description] == []


def its_versions_are_cleaned(lake: Lake, first: dict[str, Any], second: dict[str, Any]) -> None:
    """The second run counts the same doubtful faces as the first, and leaves them out."""
    assert second["clean"] == first["clean"]
    assert second["train_cleaned"]["is_new"]
    told = [one for one in second["clean"] if one["doubtful"]]
    assert told[-1]["dataset"] == second["train"]["dataset"]
    for scored, cleaned in zip(told, second["publish_cleaned"], strict=True):
        version = open_dataset(lake, f"{cleaned['dataset']}@{cleaned['version']}")
        assert version.manifest["cleaning"]["model"] == f"embedder@{first['train']['version']}"
        assert cleaned["funnel"]["stages"][-1]["rejected"]["wrong_person"] >= scored["doubtful"]["wrong_person"]
    with get_client(sync_client=True) as client:
        pages = {str(one.key): str(one.data) for one in client.read_latest_artifacts()}
    for key in ("pipeline", "refine"):
        for trained in (second["train"], second["train_cleaned"]):
            assert f"embedder@{trained['version']} on {trained['dataset']}: AUC" in pages[key]


def a_listed_person_is_left_out(lake: Lake, names: Path) -> None:
    (whole, _) = (one for one in all_versions(lake) if one.name == "faces-bbox")
    person = whole.index(["identity"])["identity"][0].as_py()
    names.write_text(person.replace("_", " ").upper() + "\n")
    (result,) = publish(lake.url, method="bbox", exclude=names)

    assert [match["identity"] for match in result["excluded"]] == [person]
    rest = open_dataset(lake, f"faces-bbox@{result['version']}")
    assert set(rest.index(["identity"])["identity"].to_pylist()) == set(
        whole.index(["identity"])["identity"].to_pylist()
    ) - {person}
    assert result["funnel"]["stages"][-1]["rejected"]["excluded"] > 0
    assert rest.manifest["exclude"]["num_identities"] == 1
    assert person not in str(rest.manifest)


def test_a_folder_per_person_goes_the_same_road_by_mtcnn_alone(tmp_path: Path, world: Path) -> None:
    album = tmp_path / "album"
    truth = read_truth(world)
    for number, (_url, row) in enumerate(sorted(truth.items())):
        if row["expect"] == "accepted" and row["body"]:
            person = album / row["truth_identity"]
            person.mkdir(parents=True, exist_ok=True)
            (person / f"{number:04d}.jpg").write_bytes((world / "bodies" / row["body"]).read_bytes())
    (album / "broken").mkdir()
    (album / "broken" / "a.jpg").write_bytes(b"\xff\xd8\xff no picture")

    result = asyncio.run(pipeline(str(tmp_path / "lake"), source="vggface2", links=str(album), steps=4))

    assert [one["dataset"] for one in result["publish"]] == ["faces-mtcnn"]
    assert result["ingest"]["rejected"] == {"broken_image": 1}
    assert result["publish"][0]["samples"] > 0
